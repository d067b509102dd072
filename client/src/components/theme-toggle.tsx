import { Monitor, Moon, Sun, type LucideIcon } from "lucide-react";
import { setTheme, useTheme, type Theme } from "@/lib/theme";
import { Button } from "./ui/button";

const NEXT: Record<Theme, { icon: LucideIcon; next: Theme }> = {
  system: { icon: Monitor, next: "light" },
  light: { icon: Sun, next: "dark" },
  dark: { icon: Moon, next: "system" },
};

export function ThemeToggle() {
  const theme = useTheme();
  const { icon: Icon, next } = NEXT[theme];
  const label = `Theme: ${theme}. Switch to ${next}`;
  return (
    <Button
      variant="ghost"
      size="iconSm"
      aria-label={label}
      title={label}
      onClick={() => {
        setTheme(next);
      }}
    >
      <Icon aria-hidden />
    </Button>
  );
}
