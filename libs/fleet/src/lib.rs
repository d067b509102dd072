//! The size of the fleet: workers as child processes, later as containers.
