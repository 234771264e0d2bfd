//! The configuration: layers, checks, and errors that name file, line and key.
//!
//! Flags win over the environment, that over `--config FILE` or `./restitch.toml`, that over the user's configuration
//! folder, that over the defaults. Nothing is ever written.

mod aws;
mod cluster;
mod deeds;
mod effects;
mod fields;
mod file;
mod kafka;
mod keys;
mod log;
mod outside;
mod read;
mod schema;
pub mod secrets;
mod tree;
mod types;
pub mod units;
mod url;

#[cfg(test)]
mod tests;

pub use deeds::{Approve, BulkConfig, Reasons};
pub use types::*;

use crate::domain::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::{Layer, Node, Origin, Place, Value};

/// The commented default configuration, as `print-config` prints it: prose after `##`, keys after `#`.
pub const DEFAULT: &str = include_str!("default.toml");

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--incident`
    pub incident: Option<String>,
    /// `--ledger`
    pub ledger: Option<String>,
}

/// The world around the program that layers come from.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// The user's configuration file, whether it is there or not.
    pub user_file: Option<PathBuf>,
    /// The working folder; empty for the process's own.
    pub folder: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |s: OsString| s.to_string_lossy().into_owned();
        Self {
            variables: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            user_file: directories::BaseDirs::new().map(|d| d.config_dir().join("restitch/restitch.toml")),
            folder: PathBuf::new(),
        }
    }
}

/// Loads all layers of this process.
pub fn load(overrides: &Overrides) -> Result<Config> {
    load_in(overrides, &Surroundings::of_process())
}

/// Loads all layers found in these surroundings.
pub fn load_in(overrides: &Overrides, around: &Surroundings) -> Result<Config> {
    let mut layers = Vec::new();
    let mut warnings = Vec::new();
    let mut trees = Vec::new();

    if let Some(path) = &around.user_file {
        let name = path.display().to_string();
        if path.exists() {
            trees.push(from_file(path, &name, Layer::User)?);
            layers.push(name);
        } else {
            layers.push(format!("{name} (not there)"));
        }
    }
    let main = overrides.config.as_deref().unwrap_or(Path::new("restitch.toml"));
    let name = main.display().to_string();
    let path = around.folder.join(main);
    let mut home = around.folder.clone();
    if overrides.config.is_some() || path.exists() {
        trees.push(from_file(&path, &name, Layer::Main)?);
        home = folder_of(&path);
        layers.push(name);
    } else {
        layers.push(format!("./{name} (not there)"));
    }
    let mut names = Vec::new();
    let mut variables = around.variables.clone();
    variables.sort();
    trees.extend(tree::environment(&variables, &around.folder, &mut warnings, &mut names));
    if !names.is_empty() {
        layers.push(format!("environment: {}", names.join(", ")));
    }
    for (flag, path, value) in [
        ("--incident", ["incident", "id"], &overrides.incident),
        ("--ledger", ["ledger", "url"], &overrides.ledger),
    ] {
        if let Some(value) = value {
            let origin = Origin {
                layer: Layer::Flag,
                name: flag.to_owned(),
                folder: around.folder.clone().into(),
            };
            let place = Place {
                origin: Arc::new(origin),
                line: 0,
            };
            trees.push(tree::single(&path, value.clone(), &place));
            layers.push(format!("flag {flag}"));
        }
    }
    let mut config = merge(trees, &home)?;
    layers.reverse();
    layers.push("defaults".to_owned());
    config.layers = layers;
    config.warnings = warnings;
    Ok(config)
}

/// Reads this text alone, as a file of this name in this folder: no other layer counts.
pub fn from_text(text: &str, name: &str, folder: &Path) -> Result<Config> {
    let origin = Origin {
        layer: Layer::Main,
        name: name.to_owned(),
        folder: folder.into(),
    };
    merge(vec![tree::parse(text, &Arc::new(origin))?], folder)
}

fn from_file(path: &Path, name: &str, layer: Layer) -> Result<Node> {
    let text = file::read(path, name)?;
    let origin = Origin {
        layer,
        name: name.to_owned(),
        folder: folder_of(path).into(),
    };
    tree::parse(&text, &Arc::new(origin))
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// Lays the trees over each other, weakest first. `home` is the folder that default paths are relative to.
fn merge(trees: Vec<Node>, home: &Path) -> Result<Config> {
    let origin = Origin {
        layer: Layer::User,
        name: "defaults".to_owned(),
        folder: home.into(),
    };
    let mut root = Node {
        value: Value::Table(Vec::new()),
        place: Place {
            origin: Arc::new(origin),
            line: 0,
        },
    };
    for tree in trees {
        tree::lay(&mut root, tree);
    }
    read::config(&root, home)
}
