//! The Hold view in a real terminal, over a broker that lives, falls silent and comes back.

use crate::support::kafka::Kafka;
use crate::terminal::Terminal;
use crate::world::{World, now, order};
use serde_json::json;

const MINUTE: i64 = 60_000;
const HALF_HOUR: i64 = 30 * MINUTE;

fn bells(terminal: &Terminal) -> usize {
    memchr::memchr_iter(7, &terminal.bytes()).count()
}

/// Waits for so many bells.
fn rings(terminal: &Terminal, wanted: usize) {
    let begun = std::time::Instant::now();
    while bells(terminal) < wanted {
        assert!(
            begun.elapsed() < crate::terminal::PATIENCE,
            "{} bells:\n{}",
            bells(terminal),
            terminal.text()
        );
        std::thread::yield_now();
    }
}

#[test]
fn deadlines_come_bells_ring_and_silence_is_shown_until_it_ends() {
    let broker = Kafka::start();
    let topic = broker.topic_with("held", 3, &[("retention.ms", "1800000")]);
    let hold = World::at(&topic, &broker.brokers(), "services_back = \"2099-01-01T00:00:00Z\"");
    let mut terminal = Terminal::restitch(&[], &hold.night.path(""), (80, 24));
    terminal.shows("2 QUEUE");
    terminal.keys("4");
    terminal.shows("brokers answer");
    terminal.shows("offsets at the shutdown not recorded");
    // Each waits for its bell: so long before its deadline, less three seconds.
    let send = |partition: i32, before: i64| {
        let label = format!("SFH-{partition}");
        let stamp = now() - HALF_HOUR + before * MINUTE + 3_000;
        let message = order(&label, &json!({"n": partition}));
        broker.send_at(&topic, partition, stamp, (&label, Some(&message)));
        label
    };
    assert_eq!(bells(&terminal), 0);
    for (nth, (partition, before)) in (1..).zip([(0, 10), (1, 5), (2, 2)]) {
        terminal.shows(&send(partition, before));
        rings(&terminal, nth);
    }
    terminal.shows("3 unrescued may be gone when services are back");
    terminal.resize(160, 48);
    terminal.shows("rescued 0 of 3, 3 not");
    hold.run(&["hold", "status", "--record"]).ended(0);
    hold.run(&["hold", "rescue"]).ended(0);
    terminal.shows("rescued 3 of 3");
    terminal.hides("not recorded");
    terminal.resize(80, 24);
    broker.pause(true);
    let shown = terminal.shows("BROKERS SILENT since");
    assert!(shown.contains("below as of") && shown.contains("SFH-2"), "{shown}");
    assert!(shown.contains("no broker answers"), "{shown}");
    broker.pause(false);
    terminal.shows("brokers answer");
    terminal.hides("BROKERS SILENT");
    let label = send(0, 20);
    terminal.shows("rescued 3 of 4, 1 not");
    assert_eq!(
        bells(&terminal),
        3,
        "what is rescued rings no bell, nor does what has time"
    );
    terminal.keys("q");
    terminal.ends().unwrap();
    let status = hold.status();
    assert_eq!(
        (&status["held"], &status["rescued"]),
        (&json!(4), &json!(3)),
        "{label}: {status}"
    );
}
