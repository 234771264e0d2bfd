use crate::night::{Night, here};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn global_flags_stand_before_or_after_the_command() {
    let night = Night::scanned();
    fs::create_dir(night.path("sub")).unwrap();
    fs::rename(night.path("restitch.toml"), night.path("sub/other.toml")).unwrap();
    let before = night.run(&[
        "--config",
        "sub/other.toml",
        "--ledger",
        "sqlite:restitch.db",
        "--json",
        "cases",
    ]);
    let after = night.run(&[
        "cases",
        "--json",
        "--ledger",
        "sqlite:restitch.db",
        "--config",
        "sub/other.toml",
    ]);
    assert_eq!(before.ended(0).out, after.ended(0).out);
    // Nothing was scanned under another incident's name.
    let other = [
        "cases",
        "--json",
        "--incident",
        "other",
        "--config",
        "sub/other.toml",
        "--ledger",
        "sqlite:restitch.db",
    ];
    assert_eq!(night.run(&other).ended(0).out, "");
}

#[test]
fn the_ledger_stands_beside_the_configuration_and_is_private() {
    let night = Night::scanned();
    let mode = fs::metadata(night.path("restitch.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let elsewhere = night.run(&["cases", "--ledger", "sqlite:elsewhere.db"]).ended(1);
    elsewhere.says(&["there is no ledger yet", "elsewhere.db"]);
    assert!(!night.path("elsewhere.db").exists());
}

#[test]
fn unknown_commands_say_what_there_is() {
    let night = Night::new();
    night.run(&["scna"]).ended(2).says(&["scan", "commands: "]);
    night.run(&["scan", "--fast"]).ended(2).says(&["--fast"]);
    let help = night.run(&["--help"]).ended(0).out;
    for command in [
        "preview",
        "scan",
        "cases",
        "resolve",
        "prove",
        "audit",
        "doctor",
        "demo",
        "console",
        "print-config",
        "completions",
        "man",
        "restore",
        "hold",
        "takeover",
        "bulk",
        "approve",
        "reopen",
        "ledger",
        "report",
        "handover",
        "signoff",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
    }
}

#[test]
fn the_console_needs_a_terminal() {
    let night = Night::new();
    for args in [&[][..], &["console"], &["demo", "--orders", "20"]] {
        night.run(args).ended(2).says(&["terminal"]);
    }
    night.run(&["--no-input"]).ended(2).says(&["terminal"]);
}

#[test]
fn the_printed_configuration_is_the_one_in_the_source() {
    let printed = Night::new().run(&["print-config"]).ended(0).out;
    assert_eq!(printed, fs::read_to_string(here("src/config/default.toml")).unwrap());
}

#[test]
fn completions_and_man_page_name_every_command() {
    let night = Night::new();
    let man = night.run(&["man"]).ended(0).out;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = night.run(&["completions", shell]).ended(0).out;
        for command in ["scan", "resolve", "audit"] {
            assert!(script.contains(command), "{shell} does not know {command}");
            assert!(man.contains(command));
        }
    }
    night.run(&["completions", "cmd.exe"]).ended(2);
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let night = Night::scanned();
    for args in [
        &["print-config"][..],
        &["cases", "--json"],
        &["cases"],
        &["audit", "list"],
        &["man"],
        &["--help"],
    ] {
        let mut child = night
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let night = Night::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = night
        .command(&["print-config"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    Night::finish(output)
        .ended(1)
        .says(&["cannot write the result", "standard output"]);
}

#[test]
fn nothing_on_a_pipe_recolours_it() {
    let night = Night::new();
    for args in [
        &["scan"][..],
        &["cases"],
        &["show", "order:2"],
        &["doctor"],
        &["--help"],
        &["nonsense"],
    ] {
        let ran = night.run(args);
        assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "{args:?}");
        assert!(!ran.err.contains('\r'), "{args:?} draws bars into a pipe");
    }
}

#[test]
fn hostile_data_and_arguments_are_shown_not_obeyed() {
    let night = Night::new();
    night.sql(
        "update orders set external_id = 'A' || char(27) || '[2J' || char(8238) || 'B' || char(10) || 'C' where id = 2",
    );
    night.run(&["scan"]).ended(3);
    for args in [
        &["cases"][..],
        &["cases", "--json"],
        &["show", "order:2"],
        &["show", "order:2", "--json"],
    ] {
        let out = night.run(args).ended(0).out;
        assert!(!out.contains('\x1b') && !out.contains('\u{202e}'), "{args:?}: {out:?}");
    }
    assert_eq!(night.run(&["cases"]).out.lines().count(), 6);
    let ran = night.run(&["show", "a\x1b[31mb\u{202e}"]).ended(2);
    assert!(
        !ran.err.contains('\x1b') && !ran.err.contains('\u{202e}'),
        "{:?}",
        ran.err
    );
    let ran = night.run(&["\x1b]0;title\x07"]).ended(2);
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
}

#[test]
fn masked_columns_are_masked_on_screens() {
    let night = Night::new();
    night.configure(
        "state = \"status\"\nrefs",
        "state = \"status\"\nshow = [\"qty\", \"status\"]\nmask = [\"status\"]\nrefs",
    );
    night.run(&["scan"]).ended(3);
    for args in [&["cases"][..], &["show", "order:2"]] {
        let out = night.run(args).ended(0).out;
        assert!(!out.contains("Accepted") && !out.contains("Created"), "{out}");
        assert!(out.contains("****"), "{out}");
    }
}
