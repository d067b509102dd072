import { Link } from "@tanstack/react-router";
import { Inbox } from "lucide-react";
import { CommandLine } from "./command-line";
import { EmptyState } from "./empty-state";
import { Button } from "./ui/button";

/** Nobody has submitted anything yet: the three ways to do so. */
export function NoTasks() {
  const curl = `curl ${window.location.origin}/api/schedule -H 'content-type: application/json' -d '{"command": "echo hello"}'`;
  return (
    <EmptyState icon={Inbox} title="No tasks yet">
      <p>Schedule one here, on the command line, or over HTTP.</p>
      <Button asChild variant="primary">
        <Link to="/schedule">New task</Link>
      </Button>
      <CommandLine>{"taskmaster submit 'echo hello'"}</CommandLine>
      <CommandLine>{curl}</CommandLine>
    </EmptyState>
  );
}
