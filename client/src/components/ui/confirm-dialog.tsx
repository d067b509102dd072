import { AlertDialog } from "radix-ui";
import type { ReactNode } from "react";
import { ProblemAlert } from "@/components/problem-alert";
import { Button } from "./button";

type ConfirmDialogProps = {
  trigger: ReactNode;
  title: string;
  children: ReactNode;
  confirm: string;
  dismiss: string;
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onConfirm: () => void;
  pending: boolean;
  error: Error | null;
};

/** Asks before something that cannot be undone. It stays open while that is under way, and when it failed. */
export function ConfirmDialog(props: ConfirmDialogProps) {
  return (
    <AlertDialog.Root open={props.open} onOpenChange={props.onOpenChange}>
      <AlertDialog.Trigger asChild>{props.trigger}</AlertDialog.Trigger>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="fixed inset-0 z-40 bg-black/40 dark:bg-black/60" />
        <AlertDialog.Content className="fixed top-1/2 left-1/2 z-50 w-[min(26rem,calc(100vw-2rem))] -translate-x-1/2 -translate-y-1/2 rounded-lg border bg-surface p-5 shadow-xl">
          <AlertDialog.Title className="text-base font-semibold">{props.title}</AlertDialog.Title>
          <AlertDialog.Description asChild>
            <div className="mt-2 text-sm text-muted">{props.children}</div>
          </AlertDialog.Description>
          {props.error !== null && <ProblemAlert error={props.error} className="mt-3" />}
          <div className="mt-5 flex justify-end gap-2">
            <AlertDialog.Cancel asChild>
              <Button>{props.dismiss}</Button>
            </AlertDialog.Cancel>
            <Button variant="danger" pending={props.pending} onClick={props.onConfirm}>
              {props.confirm}
            </Button>
          </div>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
