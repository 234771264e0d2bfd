//! The two servers: the one where it all happened, and the one restored to T.

use crate::support::{self, Pg};
use crate::traffic;
use std::path::Path;
use std::process::Command;

/// The database on both servers.
pub const DB: &str = "om";

pub struct World {
    /// Where everything happened.
    pub live: Pg,
    /// Restored to T, with what happened on it since.
    pub back: Pg,
    /// Restored to T, and left alone since.
    pub untouched: Pg,
    /// Restored to a point after everything that the log shows.
    pub late: Pg,
    /// When everything was over.
    pub after_all: String,
    /// T as PostgreSQL writes it.
    pub restored_to: String,
    /// The log, a line an element, as wal2json wrote it.
    pub wal2json: Vec<String>,
}

impl World {
    pub fn make() -> Self {
        let home = support::home();
        support::init(&home);
        // In the live server's folder, which goes when that server goes.
        let archive = home.join("archive");
        let made = support::command(Path::new("/bin/mkdir"))
            .arg(&archive)
            .status()
            .unwrap();
        assert!(made.success());
        let live = Pg::start_in(
            home,
            &[
                "wal_level=logical",
                "archive_mode=on",
                &format!("archive_command='cp %p {}/%f'", archive.display()),
                "timezone=UTC",
            ],
        );
        live.psql("postgres", &format!("create database {DB}"));
        live.psql(DB, &traffic::before_the_log());
        live.psql(DB, "truncate om.touched");
        live.psql(DB, "select pg_create_logical_replication_slot('cdc', 'wal2json')");

        let home = support::home();
        base_backup(&live, &home.join("data"));
        let (late, untouched) = (copy(&home), copy(&home));
        live.psql(DB, &traffic::before_t());
        let restored_to = live.psql(
            DB,
            "select pg_sleep(0.02); create temp table t as select clock_timestamp() as t; select pg_sleep(0.02); select t from t",
        );
        let restored_to = restored_to.trim().to_owned();
        live.psql(DB, &traffic::after_t());
        let wal2json = live.psql(
            DB,
            "select data from pg_logical_slot_get_changes('cdc', null, null, 'format-version', '2', 'include-lsn', 'true', \
             'include-timestamp', 'true', 'include-types', 'true')",
        );
        let after_all = live.psql(
            DB,
            "select pg_sleep(0.02); create temp table t as select clock_timestamp() as t; create table om.after_all (n int); select t from t",
        );
        let last = live.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
        await_archived(&live, &last);
        let back = recover(home, &archive, &restored_to);
        let untouched = recover(untouched, &archive, &restored_to);
        let after_all = after_all.trim().to_owned();
        let late = recover(late, &archive, &after_all);
        back.psql(DB, &traffic::on_the_restored());
        Self {
            live,
            back,
            untouched,
            late,
            after_all,
            restored_to,
            wal2json: wal2json.lines().map(str::to_owned).collect(),
        }
    }
}

/// A copy of the base backup in this folder.
fn copy(home: &Path) -> std::path::PathBuf {
    let copy = support::home();
    let copied = support::command(Path::new("/bin/cp"))
        .arg("-a")
        .arg(home.join("data"))
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success());
    copy
}

fn base_backup(from: &Pg, to: &Path) {
    let out = support::command(&support::bin().join("pg_basebackup"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "demo",
            "-p",
            &from.port.to_string(),
            "-X",
            "stream",
            "-c",
            "fast",
            "-N",
            "-D",
        ])
        .arg(to)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "pg_basebackup: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Waits until the server has archived this WAL file.
fn await_archived(pg: &Pg, file: &str) {
    let wait = format!(
        "do $$ begin for i in 1 .. 600 loop
             perform pg_stat_clear_snapshot();
             if (select last_archived_wal >= '{file}' from pg_stat_archiver) then return; end if;
             perform pg_sleep(0.1);
         end loop; raise exception 'not archived: {file}'; end $$"
    );
    pg.psql("postgres", &wait);
}

/// Recovers the base backup in `home/data` to T and promotes it.
fn recover(home: std::path::PathBuf, archive: &Path, t: &str) -> Pg {
    let data = home.join("data");
    let touch = |file: &str| {
        let made = support::command(Path::new("/usr/bin/touch"))
            .arg(data.join(file))
            .status()
            .unwrap();
        assert!(made.success());
    };
    touch("recovery.signal");
    let restore = format!("restore_command='cp {}/%f %p'", archive.display());
    let target = format!("recovery_target_time='{t}'");
    let back = Pg::start_in(
        home,
        &[
            &restore,
            &target,
            "recovery_target_action=promote",
            "archive_mode=off",
            "timezone=UTC",
        ],
    );
    let promoted = "do $$ begin for i in 1 .. 600 loop
            if not pg_is_in_recovery() then return; end if; perform pg_sleep(0.1);
        end loop; raise exception 'not promoted'; end $$";
    back.psql("postgres", promoted);
    let timeline = back.psql("postgres", "select timeline_id from pg_control_checkpoint()");
    assert_eq!(timeline, "2", "the restored server is on a timeline of its own");
    back
}

/// A command of the program under test, in this folder, with nothing of the user's environment.
pub fn restitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restitch"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin");
    command
}
