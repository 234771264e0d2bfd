//! The statuses of instances and clusters, by what they mean for a restore.
//!
//! Source: RDS User Guide, "Viewing DB instance status" (as of 2023; later ones are shown as they come), and the Aurora
//! User Guide, "Viewing DB cluster status".

/// What a status means for a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is being made: nothing can connect, and AWS says nothing of how far it is.
    Making,
    /// It is there and being changed; some of these let nobody in.
    Changing,
    /// It answers.
    Usable,
    /// AWS refuses the backup or its point: another restore is needed.
    BadBackup,
    /// The key of the storage cannot be used. `true`: within 7 days it can be brought back.
    BadKey(bool),
    /// What it stands on does not fit or is not there: class, network, parameters, room.
    BadInfrastructure,
    /// It is stopped or being deleted.
    Away,
    /// A status that this restitch does not know. It counts as being changed.
    Unknown,
}

impl Meaning {
    /// Whether this restore will not come to a good end by itself.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::BadBackup | Self::BadKey(_) | Self::BadInfrastructure)
    }
}

/// What this status means.
pub fn meaning(status: &str) -> Meaning {
    match status {
        "creating" | "migrating" | "preparing-data-migration" | "cloning" => Meaning::Making,
        "backing-up"
        | "configuring-enhanced-monitoring"
        | "configuring-iam-database-auth"
        | "configuring-log-exports"
        | "converting-to-vpc"
        | "maintenance"
        | "modifying"
        | "moving-to-vpc"
        | "rebooting"
        | "resetting-master-credentials"
        | "renaming"
        | "starting"
        | "upgrading"
        | "promoting"
        | "failing-over"
        | "update-iam-db-auth" => Meaning::Changing,
        // "storage-optimization" is fully operational, and may last more than a day.
        "available" | "storage-optimization" | "storage-config-upgrade" | "storage-initialization" => Meaning::Usable,
        "incompatible-restore" | "restore-error" => Meaning::BadBackup,
        "inaccessible-encryption-credentials" => Meaning::BadKey(false),
        "inaccessible-encryption-credentials-recoverable" => Meaning::BadKey(true),
        "failed"
        | "incompatible-network"
        | "incompatible-option-group"
        | "incompatible-parameters"
        | "insufficient-capacity"
        | "storage-full"
        | "incompatible-create"
        | "cloning-failed"
        | "migration-failed" => Meaning::BadInfrastructure,
        "stopped" | "stopping" | "deleting" | "delete-precheck" => Meaning::Away,
        _ => Meaning::Unknown,
    }
}

/// In words: what it means, and what to do where it is bad.
pub fn words(status: &str) -> (&'static str, Option<&'static str>) {
    match (meaning(status), status) {
        (Meaning::Making, _) => ("being made; nobody can connect", None),
        (Meaning::Usable, "storage-optimization") => ("answers; AWS rewrites its storage, which may last a day", None),
        (Meaning::Usable, _) => ("answers", None),
        (Meaning::Changing, _) => ("being changed; it may not answer", None),
        (Meaning::BadBackup, "incompatible-restore") => (
            "AWS REFUSES THE BACKUP: it cannot do this point in time recovery",
            Some("restore to another point or from another backup; the old instance is untouched"),
        ),
        (Meaning::BadBackup, _) => (
            "AWS REFUSES THE BACKUP: the restore ended in an error",
            Some("restore to another point or from another backup; AWS Support can say what is wrong with this one"),
        ),
        (Meaning::BadKey(true), _) => (
            "THE KEY of the storage cannot be used; it can be brought back within 7 days",
            Some("let the owner enable the key, then run aws rds start-db-instance"),
        ),
        (Meaning::BadKey(false), _) => (
            "THE KEY of the storage cannot be used, for good",
            Some("the instance cannot be brought back: restore again from a backup whose key works"),
        ),
        (Meaning::BadInfrastructure, "incompatible-network") => (
            "INFRASTRUCTURE: the network it is to stand in does not fit",
            Some("check subnet group and free addresses, then restore again"),
        ),
        (Meaning::BadInfrastructure, "incompatible-parameters") => (
            "INFRASTRUCTURE: it cannot start with its parameter group",
            Some("put the parameters right and reboot it"),
        ),
        (Meaning::BadInfrastructure, "incompatible-option-group") => (
            "INFRASTRUCTURE: its option group does not fit",
            Some("give it another option group"),
        ),
        (Meaning::BadInfrastructure, "insufficient-capacity") => (
            "INFRASTRUCTURE: AWS has no room for this class in this zone",
            Some("restore again with another class or zone"),
        ),
        (Meaning::BadInfrastructure, "storage-full") => {
            ("INFRASTRUCTURE: its storage is full", Some("give it more storage"))
        }
        (Meaning::BadInfrastructure, _) => (
            "INFRASTRUCTURE: AWS gave it up",
            Some("look at its events, delete it and restore again; the backup itself was not refused"),
        ),
        (Meaning::Away, "stopped" | "stopping") => ("stopped; AWS starts it by itself after 7 days", None),
        (Meaning::Away, _) => ("being deleted", None),
        (Meaning::Unknown, _) => (
            "a status that this restitch does not know; it counts as under way",
            None,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_backup_a_failed_infrastructure_and_a_key_never_look_alike() {
        let first = |status: &str| words(status).0.split([':', ';', ' ']).next().unwrap().to_owned();
        for status in ["incompatible-restore", "restore-error"] {
            assert_eq!(first(status), "AWS", "{status}");
            assert!(words(status).0.starts_with("AWS REFUSES THE BACKUP"));
        }
        for status in [
            "failed",
            "incompatible-network",
            "insufficient-capacity",
            "storage-full",
            "incompatible-parameters",
        ] {
            assert_eq!(first(status), "INFRASTRUCTURE", "{status}");
        }
        for status in [
            "inaccessible-encryption-credentials",
            "inaccessible-encryption-credentials-recoverable",
        ] {
            assert!(words(status).0.starts_with("THE KEY"), "{status}");
        }
        assert!(
            ["restore-error", "failed", "storage-full"]
                .iter()
                .all(|s| meaning(s).is_bad() && words(s).1.is_some())
        );
        assert_eq!(meaning("brand-new-status"), Meaning::Unknown);
        assert!(!meaning("storage-optimization").is_bad());
    }
}
