import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "./ui/button";

type CopyButtonProps = {
  text: string;
  /** What is copied, for people who do not see the icon: `Copy command`. */
  label: string;
  /** Also shows the label. */
  withText?: boolean;
};

export function CopyButton({ text, label, withText = false }: CopyButtonProps) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => {
      setCopied(false);
    }, 1_500);
    return () => {
      window.clearTimeout(timer);
    };
  }, [copied]);

  const Icon = copied ? Check : Copy;
  return (
    <Button
      variant={withText ? "outline" : "ghost"}
      size={withText ? "md" : "iconSm"}
      aria-label={label}
      title={label}
      onClick={() => {
        void copy(text).then(setCopied);
      }}
    >
      <Icon aria-hidden className={copied ? "text-completed" : undefined} />
      {withText && (copied ? "Copied" : label)}
      <span role="status" className="sr-only">
        {copied ? "Copied" : ""}
      </span>
    </Button>
  );
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

/** For pages that are neither HTTPS nor on this machine, where browsers offer no clipboard. */
function copyTheOldWay(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}
