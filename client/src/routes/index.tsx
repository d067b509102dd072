import { createFileRoute, Link } from "@tanstack/react-router";
import { ArrowRight, Plus } from "lucide-react";
import { AutoscalerCard } from "@/components/autoscaler-card";
import { FleetActivity } from "@/components/fleet-activity";
import { NoTasks } from "@/components/no-tasks";
import { PageHeader } from "@/components/page-header";
import { ProblemAlert } from "@/components/problem-alert";
import { StatTiles } from "@/components/stat-tiles";
import { TaskTable } from "@/components/task-table";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { WorkerPanel } from "@/components/worker-panel";
import { useStats } from "@/services/stats";
import { useTasks } from "@/services/tasks";

export const Route = createFileRoute("/")({ component: Dashboard });

const NEWEST = 15;

function Dashboard() {
  const stats = useStats();
  return (
    <>
      <PageHeader title="Dashboard">
        <Button asChild variant="primary">
          <Link to="/schedule">
            <Plus aria-hidden />
            New task
          </Link>
        </Button>
      </PageHeader>
      {stats.error !== null && stats.data === undefined ? (
        <ProblemAlert error={stats.error} onRetry={() => void stats.refetch()} retrying={stats.isFetching} />
      ) : (
        <StatTiles stats={stats.data} />
      )}
      <div className="mt-4 grid gap-4 xl:grid-cols-[minmax(0,1fr)_26rem] xl:items-start">
        <NewestTasks />
        <div className="min-w-0">
          <WorkerPanel />
          <AutoscalerCard />
          <FleetActivity />
        </div>
      </div>
    </>
  );
}

function NewestTasks() {
  const tasks = useTasks({ limit: NEWEST });
  const rows = tasks.data?.tasks;
  return (
    <Card>
      <CardHeader title="Newest tasks">
        <Button asChild variant="ghost" size="sm">
          <Link to="/tasks">
            View all
            <ArrowRight aria-hidden />
          </Link>
        </Button>
      </CardHeader>
      {tasks.error !== null && rows === undefined ? (
        <ProblemAlert
          error={tasks.error}
          onRetry={() => void tasks.refetch()}
          retrying={tasks.isFetching}
          className="m-3"
        />
      ) : rows?.length === 0 ? (
        <NoTasks />
      ) : (
        <TaskTable tasks={rows} placeholders={NEWEST} />
      )}
    </Card>
  );
}
