use super::{Kind, Recipe, in_docker, probe, published};
use crate::find;
use crate::process::Program;

const IMAGE: &str = "qdrant/qdrant:v1.19.0";

fn recipe([port, _]: [u16; 2], program: Program) -> Recipe {
    Recipe {
        url: format!("http://127.0.0.1:{port}"),
        port,
        files: Vec::new(),
        prepare: Vec::new(),
        program,
        answers: probe::grpc,
        flush: None,
        container: None,
    }
}

pub fn local([port, http]: [u16; 2]) -> Result<Recipe, String> {
    let path = match touchstone_config::variable("TOUCHSTONE_QDRANT") {
        Some(path) => path.into(),
        None => find::program("qdrant", &[])
            .ok_or("neither TOUCHSTONE_QDRANT is set nor is there a program `qdrant`")?,
    };
    let setting = |name: &str, value: &str| (format!("QDRANT__{name}"), value.to_owned());
    let program = Program {
        environment: vec![
            setting("SERVICE__HOST", "127.0.0.1"),
            setting("SERVICE__HTTP_PORT", &http.to_string()),
            setting("SERVICE__GRPC_PORT", &port.to_string()),
            setting("STORAGE__STORAGE_PATH", "./storage"),
            setting("STORAGE__SNAPSHOTS_PATH", "./snapshots"),
            setting("TELEMETRY_DISABLED", "true"),
        ],
        ..Program::new(path, &[])
    };
    Ok(recipe([port, http], program))
}

pub fn container(ports: [u16; 2]) -> Recipe {
    let options = published(ports[0], 6334);
    let (program, container) = in_docker(Kind::Qdrant, IMAGE, &options, &[]);
    Recipe {
        container,
        ..recipe(ports, program)
    }
}
