//! The order log of the benchmarks, the same every time.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub const EVENTS: u64 = 2_000_000;
pub const ORDERS: u64 = 300_000;
pub const FIELDS: [&str; 7] = [
    "external_id",
    "status",
    "amount",
    "account_id",
    "segment",
    "due_at",
    "note",
];

/// The same log every time: each order is inserted, then changed at random moments; ids are beyond 2^53.
pub fn generate(folder: &Path, events: u64) -> PathBuf {
    let path = folder.join(format!("traffic-{events}-{ORDERS}.ndjson"));
    if path.exists() {
        return path;
    }
    let states = [
        "Draft",
        "Created",
        "Accepted",
        "In Progress",
        "Submitted",
        "Activated",
        "Rejected",
    ];
    let segments = ["consumer", "business", "wholesale"];
    let mut versions = vec![0_u32; usize::try_from(ORDERS).unwrap()];
    let mut seed = 42_u64;
    let mut random = move || {
        // Knuth, MMIX.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let part = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&part).unwrap());
    let mut line = String::new();
    for n in 0..events {
        let order = if n < ORDERS { n } else { random() % ORDERS };
        let version = &mut versions[usize::try_from(order).unwrap()];
        *version += 1;
        let op = if *version == 1 { "insert" } else { "upsert" };
        let state = states[usize::try_from(u64::from(*version) + order).unwrap() % states.len()];
        let segment = segments[usize::try_from(order).unwrap() % segments.len()];
        let (minutes, seconds, millis) = (n / 60_000 % 60, n / 1000 % 60, n % 1000);
        let cents = random() % 100;
        line.clear();
        write!(
            line,
            r#"{{"pos":{n},"ts":"2026-11-22T14:{minutes:02}:{seconds:02}.{millis:03}Z","entity":"order","key":"{}","op":"{op}","version":{version},"state":{{"external_id":"SFM-{order:07}","status":"{state}","amount":"{}.{cents:02}","account_id":"ACC-{:08}","segment":"{segment}","due_at":"2026-12-{:02}T00:00:00Z","note":"step {:05} of the plan"}}}}"#,
            9_007_199_254_740_993 + order,
            order % 9_999,
            order / 3,
            order % 28 + 1,
            random() % 99_999,
        )
        .unwrap();
        line.push('\n');
        out.write_all(line.as_bytes()).unwrap();
    }
    out.flush().unwrap();
    std::fs::rename(&part, &path).unwrap();
    path
}
