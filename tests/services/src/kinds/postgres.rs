use super::{Kind, Recipe, environment, in_docker, probe, published};
use crate::find;
use crate::process::Program;
use crate::server::Durability;

const IMAGE: &str = "postgres:17-alpine";
const USER: &str = "touchstone";
const PASSWORD: &str = "touchstone-test";

fn recipe(port: u16, program: Program) -> Recipe {
    Recipe {
        url: format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"),
        port,
        files: Vec::new(),
        prepare: Vec::new(),
        program,
        answers,
        flush: None,
        container: None,
    }
}

pub fn local([port, _]: [u16; 2], durability: Durability) -> Result<Recipe, String> {
    let directories = find::postgres_directories();
    let program = |name: &str| {
        find::program(name, &directories).ok_or_else(|| format!("there is no program `{name}`"))
    };
    let user = find::unprivileged();
    let initdb = Program {
        user,
        ..Program::new(
            program("initdb")?,
            &[
                "--pgdata=data",
                "--username=touchstone",
                "--pwfile=password",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
        )
    };
    let port_option = format!("port={port}");
    let mut arguments = vec![
        "-D",
        "data",
        "-c",
        &port_option,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "max_connections=400",
        "-c",
        "shared_buffers=64MB",
    ];
    if durability == Durability::Fast {
        arguments.extend(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    let server = Program {
        user,
        ..Program::new(program("postgres")?, &arguments)
    };
    Ok(Recipe {
        files: vec![("password", PASSWORD.to_owned())],
        prepare: vec![initdb],
        ..recipe(port, server)
    })
}

pub fn container([port, _]: [u16; 2]) -> Recipe {
    let mut options = published(port, 5432).to_vec();
    options.extend(environment(&[
        ("POSTGRES_USER", USER.to_owned()),
        ("POSTGRES_PASSWORD", PASSWORD.to_owned()),
        ("POSTGRES_DB", "postgres".to_owned()),
    ]));
    let command = ["-c", "max_connections=400"];
    let (program, container) = in_docker(Kind::Postgres, IMAGE, &options, &command);
    Recipe {
        container,
        ..recipe(port, program)
    }
}

/// Asks for a session: a server that is ready wants a password, one that starts refuses.
fn answers(port: u16) -> bool {
    let parameters = format!("user\0{USER}\0database\0postgres\0\0");
    let mut packet = Vec::new();
    packet.extend((8 + parameters.len() as u32).to_be_bytes());
    packet.extend((3_u32 << 16).to_be_bytes());
    packet.extend(parameters.bytes());
    probe::ask(port, &packet).is_ok_and(|answer| answer.first() == Some(&b'R'))
}
