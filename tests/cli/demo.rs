use crate::night::{Night, Ran, keys};
use std::fs;

/// `demo --headless`, with a temporary folder of its own that must be empty afterwards.
fn demo(night: &Night, args: &[&str]) -> Ran {
    let temporary = night.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = night.command(&["demo", "--headless"]);
    let ran = Night::finish(
        command
            .args(args)
            .env("TMPDIR", &temporary)
            // The user's own settings have no say in the demo.
            .env("RESTITCH_RESTORED__URL", "sqlite:elsewhere.db")
            .output()
            .unwrap(),
    );
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the demo left something");
    ran
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let night = Night::new();
    let report = |seed: &str| {
        let mut report = demo(&night, &["--json", "--orders", "150", "--seed", seed])
            .ended(3)
            .json();
        let figures = report.as_object_mut().unwrap();
        figures.shift_remove("opening").unwrap();
        figures.shift_remove("elapsed_ms").unwrap();
        figures.shift_remove("peak_rss_bytes").unwrap();
        report
    };
    let seven = report("7");
    assert_eq!(seven, report("7"));
    assert_ne!(seven, report("8"));
    let scan = night.run(&["scan", "--json"]).ended(3).json();
    let mut wanted = keys(&scan);
    wanted.retain(|k| !["elapsed_ms", "peak_rss_bytes", "opening"].contains(k));
    assert_eq!(keys(&seven), wanted);
    assert!(seven["cases"]["opened"].as_u64().unwrap() > 30, "{seven}");
    assert_eq!(seven["incident"], "om-demo");
    assert!(
        demo(&night, &["--seed", "7", "--orders", "150"])
            .ended(3)
            .out
            .contains("orders in doubt: ")
    );
}

#[test]
fn the_demo_is_an_incident_of_its_own() {
    let night = Night::new();
    for flag in [
        ["--config", "restitch.toml"],
        ["--ledger", "sqlite:x.db"],
        ["--incident", "x"],
    ] {
        demo(&night, &flag).ended(2).says(&[flag[0], "does not go with `demo`"]);
    }
    assert!(!night.path("x.db").exists());
    demo(&night, &["--orders", "0"]).ended(2).says(&["from 1 to 1000000"]);
}
