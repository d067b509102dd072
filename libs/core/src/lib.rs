//! The domain: task, status machine, retry policy, round robin. No I/O.
