update audit
set touched_at = now()
where finished_at is null and touched_at < now() - make_interval(secs => $2) and fleet = $1
returning id, at, caller, action, fleet, request, reason, steps as "steps!: Json<Vec<Step>>", decided_at,
    finished_at, outcome, error
