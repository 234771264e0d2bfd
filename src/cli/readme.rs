//! The README's generated sections: stale ones fail, `UPDATE=1 cargo test readme` rewrites them.

use super::Cli;
use crate::config;
use crate::console::command::{COMMANDS, Scope};
use clap::CommandFactory;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Checks that the section of this name holds this body, or writes it.
fn check(name: &str, body: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = readme.split_once(&begin).unwrap();
    let (found, after) = rest.split_once("<!-- end -->\n").unwrap();
    if found == body {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "the section {name:?} of README.md is stale: run UPDATE=1 cargo test readme"
    );
    fs::write(path, format!("{before}{begin}{body}<!-- end -->\n{after}")).unwrap();
}

/// One test: two would write the same file at once.
#[test]
fn generated_sections_are_fresh() {
    let mut commands = "| command | does |\n| --- | --- |\n".to_owned();
    for command in Cli::command().disable_help_subcommand(true).get_subcommands_mut() {
        let usage = command.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace('|', "\\|");
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(commands, "| `{usage}` | {about} |").unwrap();
    }
    check("commands", &commands);
    let mut keys = "| keys | where | does |\n| --- | --- | --- |\n".to_owned();
    for command in COMMANDS {
        let pressed: Vec<String> = command.keys.iter().map(|k| format!("`{k}`")).collect();
        let scopes: Vec<&str> = Scope::ALL
            .into_iter()
            .filter(|s| command.is_in(*s))
            .map(Scope::name)
            .collect();
        let scopes = if scopes.len() == Scope::ALL.len() {
            "everywhere".to_owned()
        } else {
            scopes.join(", ")
        };
        writeln!(
            keys,
            "| {} | {scopes} | {} |",
            pressed.join(" "),
            command.words.replace('|', "\\|")
        )
        .unwrap();
    }
    check("keys", &keys);
    check("configuration", &format!("```toml\n{}```\n", config::DEFAULT));
}

#[test]
fn the_least_configuration_loads() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("The least there must be").unwrap();
    let (_, rest) = rest.split_once("```toml\n").unwrap();
    let (toml, _) = rest.split_once("```").unwrap();
    let config = config::from_text(toml, "README.md", Path::new("")).unwrap();
    assert_eq!(config.logs.len(), 1);
    assert_eq!(config.schema.entities.len(), 2);
}
