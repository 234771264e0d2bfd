//! §5, promise 2: the line to where `sql` writes is cut at every message, in both directions; a decision takes effect once or
//! not at all, and who asks again is told which.

use super::{MARKER, SETTLED, UNCUT, begin, done_by};
use crate::support::wire::{Cut, Keep, Wire};

#[test]
fn a_line_cut_at_any_message_leaves_a_decision_done_once_or_not_at_all() {
    const FIRST: i64 = 1_001;
    const LAST: i64 = 1_300;
    let events: Vec<(String, &str)> = (FIRST..=LAST)
        .map(|i| (i.to_string(), r#"{"status":"Done"}"#))
        .collect();
    let events: Vec<_> = events
        .iter()
        .map(|(key, state)| ("order", key.as_str(), "upsert", *state))
        .collect();
    let world = begin(
        &format!(
            "create table orders (id bigint primary key, status text);
             insert into orders select i, 'Open' from generate_series({FIRST}, {LAST}) i; {MARKER}"
        ),
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\nstate = \"status\"\n[effects]\nsslmode = \"disable\"\nurl = \"URL\"\nreapply = { do = \"sql\" }",
        &events,
    );
    let wire = Wire::to(world.port());
    let url = format!("postgres://demo@127.0.0.1:{}/{}", wire.port, world.db.as_ref().unwrap());
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world
        .night
        .write("restitch.toml", config.replace("\"URL\"", &format!("\"{url}\"")));
    world.scan();
    let mut next = FIRST - 1;
    // Whether it was cut, whether it was done, and whether its key told that it was.
    let mut decide = |cut: Cut| {
        next += 1;
        assert!(next <= LAST);
        let id = format!("order:{next}");
        world.run(&["claim", &id]).ended(0);
        wire.arm(cut);
        let ran = world.run(&["resolve", &id, "reapply", "--reason", "so", "--json"]);
        let landed = wire.disarm();
        let told = ran.json();
        let key = told["key"].as_str().unwrap().to_owned();
        let state = || world.case(&id)["state"].as_str().unwrap().to_owned();
        if ran.code == 6 {
            assert_eq!(state(), "unconfirmed");
            world.run(&["prove", &id]);
        }
        let written = world.sql(&format!("select status from orders where id = {next}"));
        let marked = done_by(&world, &key);
        let told_of_it = (state(), written.as_str().to_owned(), marked.as_str().to_owned());
        let done = ("proven".to_owned(), "Done".to_owned(), "1".to_owned());
        let not = ("open".to_owned(), "Open".to_owned(), "0".to_owned());
        assert!(
            told_of_it == done && matches!(ran.code, 0 | 6) || told_of_it == not && ran.code == 1,
            "{cut:?}: {told_of_it:?} {}",
            ran.err
        );
        let settled = told["effect"]["outcome"].as_str().unwrap_or_default().contains(SETTLED);
        (landed, told_of_it == done, settled)
    };
    let (mut cuts, mut done, mut not_done, mut settled) = (0, 0, 0, 0);
    for from_server in [false, true] {
        // At the first message, the second, and so on, until it is over before it is cut.
        for message in 0.. {
            let keep = Keep::Whole;
            let (landed, was_done, by_key) = decide(Cut {
                from_server,
                message,
                keep,
            });
            if !landed {
                assert_eq!((was_done, by_key), (true, UNCUT));
                break;
            }
            cuts += 1;
            done += usize::from(was_done);
            not_done += usize::from(!was_done);
            settled += usize::from(by_key);
        }
    }
    assert!(cuts > 40 && not_done > 20, "{cuts} cuts, {not_done} not done");
    assert!(
        done > 0 && settled > 0,
        "{done} done, {settled} of them told by their key"
    );
}
