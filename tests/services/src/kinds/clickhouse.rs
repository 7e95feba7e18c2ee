use super::{Kind, Recipe, environment, in_docker, probe, published};
use crate::find;
use crate::process::Program;

const IMAGE: &str = "clickhouse/clickhouse-server:25.8-alpine";

fn recipe(port: u16, program: Program) -> Recipe {
    Recipe {
        url: format!("http://127.0.0.1:{port}"),
        port,
        files: Vec::new(),
        prepare: Vec::new(),
        program,
        answers: |port| probe::get(port, "/ping"),
        flush: None,
        container: None,
    }
}

pub fn local([port, native]: [u16; 2]) -> Result<Recipe, String> {
    let path = match touchstone_config::variable("TOUCHSTONE_CLICKHOUSE") {
        Some(path) => path.into(),
        None => find::program("clickhouse", &[])
            .ok_or("neither TOUCHSTONE_CLICKHOUSE is set nor is there a program `clickhouse`")?,
    };
    let arguments = [
        "server",
        "--",
        "--listen_host=127.0.0.1",
        &format!("--http_port={port}"),
        &format!("--tcp_port={native}"),
        "--path=./data/",
        "--mysql_port=",
        "--postgresql_port=",
        "--interserver_http_port=",
    ];
    Ok(recipe(port, Program::new(path, &arguments)))
}

pub fn container([port, _]: [u16; 2]) -> Recipe {
    let mut options = published(port, 8123).to_vec();
    options.extend(environment(&[(
        "CLICKHOUSE_SKIP_USER_SETUP",
        "1".to_owned(),
    )]));
    let (program, container) = in_docker(Kind::ClickHouse, IMAGE, &options, &[]);
    Recipe {
        container,
        ..recipe(port, program)
    }
}
