//! One coordinator leads, and one API: the one whose connection holds an advisory lock. The lock goes with the connection, so a
//! leader that dies, or is cut off, has lost it as soon as Postgres notices; and Postgres ends a connection that says
//! nothing for [`SILENCE`], so that a leader that hangs loses it as well.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::{PgPool, Result, StoreConfig, acquire};

/// What there is to lead: each has a lock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Office {
    /// The coordinators: who claims, rescues and cleans.
    Coordinator,
    /// The APIs: who decides the fleet's size.
    Autoscaler,
}

impl Office {
    /// The lock that its leader holds: "taskmast" and "autoscal" in ASCII.
    const fn lock(self) -> i64 {
        match self {
            Self::Coordinator => 0x7461_736b_6d61_7374,
            Self::Autoscaler => 0x6175_746f_7363_616c,
        }
    }
}

/// How long a leader may say nothing before it has lost the lead: [`Leadership::check`] has to come more often.
pub const SILENCE: Duration = Duration::from_secs(3);

/// Who would lead: its connection, kept while another leads.
#[derive(Debug)]
pub struct Candidate {
    office: Office,
    connection: PgConnection,
}

/// Proof of leading. Dropping it gives the lead up.
#[derive(Debug)]
pub struct Leadership {
    connection: PgConnection,
}

/// Whether somebody leads the coordinators, asked from outside.
///
/// # Errors
/// When Postgres is away.
pub async fn is_led(pool: &PgPool) -> Result<bool> {
    // A lock of one bigint is shown in two halves.
    let led = sqlx::query_scalar!(
        r#"
        select exists (
            select from pg_locks
            where locktype = 'advisory' and granted and objsubid = 1
              and database = (select oid from pg_database where datname = current_database())
              and classid::bigint = $1::bigint >> 32 and objid::bigint = $1::bigint & 4294967295
        ) as "led!"
        "#,
        Office::Coordinator.lock()
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(led)
}

impl Candidate {
    /// Connects, on a connection of its own.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn connect(config: &StoreConfig, office: Office) -> Result<Self> {
        let mut connection = config.connect().await?;
        // A leader whose machine vanished keeps the lock until the server notices: make it notice soon.
        sqlx::query("set tcp_keepalives_idle = 1")
            .execute(&mut connection)
            .await?;
        sqlx::query("set tcp_keepalives_interval = 1")
            .execute(&mut connection)
            .await?;
        sqlx::query("set tcp_keepalives_count = 2")
            .execute(&mut connection)
            .await?;
        // The kernel of a process that hangs goes on answering for it.
        sqlx::query("select set_config('idle_session_timeout', $1, false)")
            .bind(format!("{}ms", SILENCE.as_millis()))
            .execute(&mut connection)
            .await?;
        Ok(Self { office, connection })
    }

    /// Leads, or remains a candidate while another does. To remain one, ask again within [`SILENCE`].
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn try_lead(mut self) -> Result<std::result::Result<Leadership, Self>> {
        let leads = sqlx::query_scalar!(
            "select pg_try_advisory_lock($1) as \"leads!\"",
            self.office.lock()
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(if leads {
            Ok(Leadership {
                connection: self.connection,
            })
        } else {
            Err(self)
        })
    }
}

impl Leadership {
    /// Makes sure that the lock is still held.
    ///
    /// # Errors
    /// When the connection is gone, and the lead with it.
    pub async fn check(&mut self) -> Result<()> {
        self.connection.ping().await?;
        Ok(())
    }

    /// Gives the lead up, so that another takes it at once.
    ///
    /// # Errors
    /// When the connection was gone already.
    pub async fn resign(self) -> Result<()> {
        self.connection.close().await?;
        Ok(())
    }
}
