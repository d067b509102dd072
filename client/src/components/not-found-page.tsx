import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { EmptyState } from "./empty-state";
import { Button } from "./ui/button";

export function NotFoundPage() {
  return (
    <>
      <title>Page not found · TaskMaster</title>
      <EmptyState icon={Compass} title="Page not found" page>
        <p>There is nothing at this address.</p>
        <div className="flex justify-center gap-2">
          <Button asChild variant="primary">
            <Link to="/">Go to the dashboard</Link>
          </Button>
          <Button asChild>
            <Link to="/tasks">Find a task</Link>
          </Button>
        </div>
      </EmptyState>
    </>
  );
}
