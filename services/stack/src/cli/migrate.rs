use std::process::ExitCode;

use serde::Serialize;
use touchstone_store::postgres::{self, Pending};

use super::args::{Cli, MigrateArgs};
use super::out::Out;
use crate::{Service, Settings, servers};

#[derive(Serialize)]
struct Migrated {
    service: &'static str,
    applied: Vec<Pending>,
    pending: Vec<Pending>,
}

/// Brings the schemas of all services up to date, or tells what is missing.
pub(crate) async fn run(args: &MigrateArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(&cli.loader(&cli.up)?)?;
    settings.settle();
    // Older schemas are what this command is for.
    settings.may_migrate();
    Box::pin(servers::check(&settings, &Service::ALL)).await?;
    let mut migrated = Vec::new();
    for schema in settings.schemas(&Service::ALL) {
        let (uri, store) = (schema.uri.as_str(), schema.store);
        let (service, migrator) = (store.service, store.migrator);
        let (applied, pending) = if args.check {
            let state = postgres::state(uri, service, migrator, &schema.options).await?;
            (Vec::new(), state.pending)
        } else {
            let applied =
                postgres::bring_up_to_date(uri, service, migrator, &schema.options).await?;
            (applied, Vec::new())
        };
        migrated.push(Migrated {
            service,
            applied,
            pending,
        });
    }
    let is_behind = migrated.iter().any(|it| !it.pending.is_empty());
    if out.is_json() {
        out.value(&migrated)?;
    } else {
        tell(&migrated, out);
    }
    Ok(if is_behind {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn tell(migrated: &[Migrated], out: Out) {
    if migrated.is_empty() {
        out.note("DATABASE_URL is not set; SQLite files are brought up to date at the start");
    }
    for Migrated {
        service,
        applied,
        pending,
    } in migrated
    {
        for one in applied {
            out.line(format!(
                "{service}: applied {} {}",
                one.version, one.description
            ));
        }
        for one in pending {
            out.line(format!(
                "{service}: missing {} {}",
                one.version, one.description
            ));
        }
        if applied.is_empty() && pending.is_empty() {
            out.line(format!("{service}: up to date"));
        }
    }
}
