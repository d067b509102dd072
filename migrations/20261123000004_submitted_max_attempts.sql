-- What max_attempts was when the task was submitted; null until a retry by hand, which may raise it. A command that was
-- submitted with one attempt must not be started twice for one retry, and max_attempts no longer tells.
alter table tasks add column submitted_max_attempts integer
    constraint tasks_submitted_max_attempts_within_limit check (submitted_max_attempts between 1 and max_attempts);
alter table finished_tasks add column submitted_max_attempts integer;
