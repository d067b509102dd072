//! What every service shares: shutdown, the periodic loop, telemetry.
