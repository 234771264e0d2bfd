//! Who sits at the keyboard, and what the configuration lets them do.

use crate::config::Roles;
use std::fs;
use std::process::Command;

/// A person as the ledger and the audit trail name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The ledger login; for a SQLite ledger the system user.
    pub user: String,
    /// The system user that runs restitch.
    pub system_user: String,
    /// Where they come from, where they came over SSH: client address and port.
    pub ssh: Option<String>,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May look.
    Viewer,
    /// May also carry out what others decided: a process that nobody sits at. Only a PostgreSQL ledger has it.
    Relay,
    /// May also claim and decide.
    Operator,
    /// May also take over, confirm and reopen.
    Lead,
}

impl Role {
    /// The word in the configuration and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Relay => "relay",
            Self::Operator => "operator",
            Self::Lead => "lead",
        }
    }

    /// The role of a system user; without `[roles]` whoever runs restitch is lead, with it a person it does not name is
    /// a viewer.
    pub fn of(system_user: &str, roles: Option<&Roles>) -> Self {
        let Some(roles) = roles else { return Self::Lead };
        let named = |people: &[String]| people.iter().any(|p| p == system_user);
        if named(&roles.lead) {
            Self::Lead
        } else if named(&roles.operator) {
            Self::Operator
        } else {
            Self::Viewer
        }
    }
}

/// Whoever runs this process: by the real user id, never by `$USER`, which anyone can set.
pub fn current() -> Who {
    let uid = rustix::process::getuid().as_raw();
    let name = local_name(uid)
        .or_else(directory_name)
        .unwrap_or_else(|| format!("uid-{uid}"));
    let ssh = std::env::var("SSH_CONNECTION").ok().and_then(|c| {
        let mut words = c.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    Who {
        user: name.clone(),
        system_user: name,
        ssh,
    }
}

fn local_name(uid: u32) -> Option<String> {
    let wanted = uid.to_string();
    fs::read_to_string("/etc/passwd").ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted && !name.is_empty()).then(|| name.to_owned())
    })
}

/// Users of LDAP and the like stand in no file; `id` asks the system's name service.
fn directory_name() -> Option<String> {
    let out = Command::new("/usr/bin/id").arg("-run").output().ok()?;
    let name = String::from_utf8(out.stdout).ok()?.trim().to_owned();
    (out.status.success() && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_the_configuration() {
        assert_eq!(Role::of("ana", None), Role::Lead);
        let roles = Roles {
            viewer: vec!["bo".to_owned()],
            operator: vec!["ana".to_owned(), "sam".to_owned()],
            lead: vec!["sam".to_owned()],
        };
        for (user, role) in [
            ("ana", Role::Operator),
            ("sam", Role::Lead),
            ("bo", Role::Viewer),
            ("mallory", Role::Viewer),
        ] {
            assert_eq!(Role::of(user, Some(&roles)), role, "{user}");
        }
    }

    #[test]
    fn the_user_is_the_one_the_system_knows() {
        let id = Command::new("id").arg("-run").output().unwrap();
        assert_eq!(current().user, String::from_utf8(id.stdout).unwrap().trim());
    }
}
