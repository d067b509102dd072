import { cva, type VariantProps } from "class-variance-authority";
import { LoaderCircle } from "lucide-react";
import { Slot } from "radix-ui";
import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const button = cva(
  "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md border border-transparent font-medium whitespace-nowrap transition-colors select-none disabled:pointer-events-none disabled:opacity-45 [&_svg]:size-3.5 [&_svg]:shrink-0",
  {
    variants: {
      variant: {
        primary: "bg-primary text-primary-foreground hover:bg-primary/88",
        outline: "border-border-strong/70 bg-surface text-foreground shadow-2xs hover:bg-hover",
        ghost: "text-muted hover:bg-hover hover:text-foreground",
        danger: "bg-failed text-white hover:bg-failed/88 dark:text-black",
        dangerOutline: "border-border-strong/70 bg-surface text-failed shadow-2xs hover:bg-failed/8",
      },
      size: {
        md: "h-8 px-3 text-sm",
        sm: "h-7 px-2.5 text-xs",
        icon: "size-8",
        iconSm: "size-7",
      },
    },
    defaultVariants: { variant: "outline", size: "md" },
  },
);

type ButtonProps = ComponentProps<"button"> &
  VariantProps<typeof button> & {
    /** Renders the child (a link) with the button's looks. */
    asChild?: boolean;
    /** Shows that what the button started is not over; it cannot be pressed meanwhile. */
    pending?: boolean;
  };

export function Button({
  className,
  variant,
  size,
  asChild,
  pending = false,
  children,
  ...props
}: ButtonProps) {
  const classes = cn(button({ variant, size }), className);
  if (asChild) {
    return (
      <Slot.Root className={classes} {...props}>
        {children}
      </Slot.Root>
    );
  }
  return (
    <button
      type="button"
      {...props}
      className={classes}
      disabled={props.disabled === true || pending}
      aria-busy={pending || undefined}
    >
      {pending && <LoaderCircle className="animate-spin" aria-hidden />}
      {children}
    </button>
  );
}
