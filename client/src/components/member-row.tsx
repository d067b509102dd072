import type { FleetMember } from "@/services/fleet";
import { KillWorker } from "./kill-worker";
import { StatusBadge } from "./status-badge";

/** A worker of the fleet that has not signed on, or has ended: a process or a container so far. */
export function MemberRow({ member, killable }: { member: FleetMember; killable: boolean }) {
  const runs = member.state !== "gone" && member.state !== "draining";
  return (
    <li
      data-testid="member-row"
      data-member={member.name}
      data-status={member.state}
      className="border-b px-4 py-2 text-muted last:border-b-0"
    >
      <div className="flex h-7 items-center gap-2">
        <span className="truncate font-medium">{member.name}</span>
        <StatusBadge status={member.state} />
        {member.node != null && <span className="truncate text-xs">on {member.node}</span>}
        <span className="ml-auto flex">
          {killable && runs && <KillWorker name={member.name} running={0} />}
        </span>
      </div>
    </li>
  );
}
