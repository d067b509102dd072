//! For tests only: databases, brokers, the whole stack.
