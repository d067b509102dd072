//! An owner of both servers, for the tests that kill one: starts them, says where they are, and stays until its standard input
//! ends. `owner FOLDER [guarded|unguarded]`.

use std::{
    error::Error,
    io::{Write, stdout},
    path::PathBuf,
    process::exit,
};

use secrecy::ExposeSecret;
use taskmaster_embedded::{
    Guard, PostgresConfig, RabbitMqConfig, StopMode, guard_main, start_both,
};
use tokio::io::AsyncReadExt;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next().ok_or("which folder?")?;
    if first == "guard" {
        let error = guard_main(args);
        writeln!(stdout(), "{error}")?;
        exit(127);
    }
    let guard = match args.next() {
        Some(how) if how == "unguarded" => Guard::None,
        Some(how) if how == "setpriv" => Guard::Setpriv,
        _ => Guard::this_executable(["guard"]),
    };
    tokio::runtime::Runtime::new()?.block_on(own(first.into(), guard))
}

async fn own(folder: PathBuf, guard: Guard) -> Result<(), Box<dyn Error>> {
    let mut postgres = PostgresConfig::new(folder.join("postgres"));
    let mut rabbitmq = RabbitMqConfig::new(folder.join("rabbitmq"));
    postgres.guard = guard.clone();
    rabbitmq.guard = guard;
    let (postgres, rabbitmq) = match start_both(postgres, rabbitmq).await {
        Ok(both) => both,
        Err(error) => {
            writeln!(stdout(), "error {error}")?;
            return Ok(());
        }
    };
    writeln!(
        stdout(),
        "ready {} {} {} {} {}",
        postgres.pid().unwrap_or_default(),
        rabbitmq.pid().unwrap_or_default(),
        rabbitmq.epmd_pid().unwrap_or_default(),
        postgres.url().expose_secret(),
        rabbitmq.url().expose_secret(),
    )?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    rabbitmq.stop().await;
    postgres.stop(StopMode::Fast).await;
    writeln!(stdout(), "stopped")?;
    Ok(())
}
