use std::process::ExitCode;

use touchstone_config::Section;

use super::args::{Cli, ConfigArgs, ConfigCommand};
use super::out::Out;
use crate::{Settings, StackConfig};

pub(crate) fn run(args: &ConfigArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    match args.command {
        ConfigCommand::Print => {
            let settings = Settings::load(&cli.loader(&cli.up)?)?;
            let text = settings.to_toml()?;
            if out.is_json() {
                out.value(&text.parse::<toml::Table>()?)?;
            } else {
                out.piece(&text);
            }
        }
        ConfigCommand::Defaults => defaults(out),
    }
    Ok(ExitCode::SUCCESS)
}

fn defaults(out: Out) {
    fn section<S: Section>(out: Out) {
        out.line(format!("[{}]", S::NAME));
        // Tables of a section are tables below it in the file.
        for line in S::DEFAULTS.lines() {
            match line.strip_prefix('[') {
                Some(rest) if !rest.starts_with('[') => out.line(format!("[{}.{rest}", S::NAME)),
                Some(rest) => out.line(format!("[[{}.{}", S::NAME, rest.trim_start_matches('['))),
                None => out.line(line),
            }
        }
        out.line("");
    }
    section::<StackConfig>(out);
    section::<touchstone_auth::Config>(out);
    section::<touchstone_document::Config>(out);
    section::<touchstone_embedding::Config>(out);
    section::<touchstone_model::Config>(out);
    section::<touchstone_vector::Config>(out);
    section::<touchstone_retrieval::Config>(out);
    section::<touchstone_generation::Config>(out);
    section::<touchstone_api_gateway::Config>(out);
}
