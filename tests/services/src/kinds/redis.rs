use super::{Kind, Recipe, in_docker, probe, published};
use crate::find;
use crate::process::Program;

const IMAGE: &str = "redis:7-alpine";

fn recipe(port: u16, program: Program) -> Recipe {
    Recipe {
        url: format!("redis://127.0.0.1:{port}"),
        port,
        files: Vec::new(),
        prepare: Vec::new(),
        program,
        answers: |port| said(port, "PING", "+PONG"),
        flush: Some(|port| {
            probe::ask(port, b"FLUSHALL\r\n")?;
            Ok(())
        }),
        container: None,
    }
}

pub fn local([port, _]: [u16; 2]) -> Result<Recipe, String> {
    let path = find::program("redis-server", &[])
        .or_else(|| find::program("valkey-server", &[]))
        .ok_or("there is no program `redis-server`")?;
    let port_argument = port.to_string();
    let arguments = [
        "--port",
        &port_argument,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    Ok(recipe(port, Program::new(path, &arguments)))
}

pub fn container([port, _]: [u16; 2]) -> Recipe {
    let options = published(port, 6379);
    let command = ["redis-server", "--save", "", "--appendonly", "no"];
    let (program, container) = in_docker(Kind::Redis, IMAGE, &options, &command);
    Recipe {
        container,
        ..recipe(port, program)
    }
}

fn said(port: u16, question: &str, expected: &str) -> bool {
    probe::ask(port, format!("{question}\r\n").as_bytes())
        .is_ok_and(|answer| answer.starts_with(expected.as_bytes()))
}
