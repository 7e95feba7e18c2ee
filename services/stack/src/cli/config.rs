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
        ConfigCommand::Defaults => {
            let text = defaults();
            if out.is_json() {
                out.value(&text.parse::<toml::Table>()?)?;
            } else {
                out.piece(&text);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every section's defaults with their comments, as one file.
fn defaults() -> String {
    [
        section::<StackConfig>(),
        section::<touchstone_auth::Config>(),
        section::<touchstone_document::Config>(),
        section::<touchstone_embedding::Config>(),
        section::<touchstone_model::Config>(),
        section::<touchstone_vector::Config>(),
        section::<touchstone_retrieval::Config>(),
        section::<touchstone_generation::Config>(),
        section::<touchstone_analytics::Config>(),
        section::<touchstone_telegram::Config>(),
        section::<touchstone_api_gateway::Config>(),
    ]
    .join("\n")
}

fn section<S: Section>() -> String {
    let mut text = format!("[{}]\n", S::NAME);
    for line in S::DEFAULTS.lines() {
        // Tables of a section are tables below it in the file.
        let (bracket, rest) = match line.strip_prefix('[') {
            Some(rest) => match rest.strip_prefix('[') {
                Some(rest) => ("[[", rest),
                None => ("[", rest),
            },
            None => ("", line),
        };
        text.push_str(bracket);
        if !bracket.is_empty() {
            text.push_str(S::NAME);
            text.push('.');
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_one_file_of_every_section() {
        let table: toml::Table = defaults().parse().unwrap();
        assert_eq!(table.len(), 11);
        assert_eq!(
            table["generation"]["extractive"]["max_sentences"].as_integer(),
            Some(3)
        );
    }
}
