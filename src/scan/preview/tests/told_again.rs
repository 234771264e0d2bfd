//! Rows whose history one reading of the log does not give: of several sources, moved to another key, in a table that was
//! emptied. Each night is told second by second, as lines of the log and as what they do to a database; at every half
//! second the preview must say what a scan of that database finds.

use super::*;

/// By table, by key, the columns that are set.
type Tables = BTreeMap<&'static str, BTreeMap<i64, BTreeMap<&'static str, &'static str>>>;

struct Night {
    folder: tempfile::TempDir,
    /// By source.
    logs: BTreeMap<&'static str, String>,
    tables: Tables,
    /// What the database had after each moment.
    moments: Vec<(i64, Tables)>,
    /// Positions of events.
    next: u32,
}

impl Night {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            logs: BTreeMap::new(),
            tables: Tables::new(),
            moments: Vec::new(),
            next: 0,
        }
    }

    fn tell(&mut self, source: &'static str, second: i64, mut line: Json) {
        let at = START + second * 1_000_000;
        self.next += 1;
        if line.get("action").is_some() {
            line["lsn"] = format!("0/{:X}", self.next).into();
            line["timestamp"] = time::format(at).into();
        } else {
            line["pos"] = self.next.into();
            line["ts"] = time::format(at).into();
        }
        writeln!(self.logs.entry(source).or_default(), "{line}").unwrap();
        self.moments.push((at, self.tables.clone()));
    }

    /// A native event: the columns that it carries, or a delete.
    fn event(
        &mut self,
        second: i64,
        source: &'static str,
        op: &str,
        row: (&'static str, i64),
        columns: &[(&'static str, &'static str)],
    ) {
        let (entity, key) = row;
        let rows = self.tables.entry(entity).or_default();
        if op == "delete" {
            rows.remove(&key);
        } else {
            rows.entry(key).or_default().extend(columns.iter().copied());
        }
        let state: Map<String, Json> = columns.iter().map(|(c, v)| ((*c).to_owned(), (*v).into())).collect();
        self.tell(
            source,
            second,
            json!({"entity": entity, "key": key, "op": op, "state": if op == "delete" { Json::Null } else { state.into() }}),
        );
    }

    /// A line of `wal2json`; an update of another key than its own moves the row.
    fn change(
        &mut self,
        second: i64,
        action: &str,
        row: (&'static str, i64),
        from: i64,
        columns: &[(&'static str, &'static str)],
    ) {
        let (entity, key) = row;
        let rows = self.tables.entry(entity).or_default();
        let mut values = match action {
            "I" => BTreeMap::new(),
            "T" => {
                rows.clear();
                BTreeMap::new()
            }
            _ => rows.remove(&from).expect("it is there"),
        };
        if matches!(action, "I" | "U") {
            values.extend(columns.iter().copied());
            assert!(rows.insert(key, values).is_none(), "keys are unique");
        }
        let column = |name: &str, value: Json| json!({"name": name, "type": "text", "value": value});
        let id = |key: i64| column("id", key.into());
        let all: Vec<Json> = std::iter::once(id(key))
            .chain(columns.iter().map(|(name, value)| column(name, (*value).into())))
            .collect();
        let table = table_of(entity);
        let line = match action {
            "I" => json!({"action": action, "schema": "", "table": table, "columns": all}),
            "U" => json!({"action": action, "schema": "", "table": table, "columns": all, "identity": [id(from)]}),
            "D" => json!({"action": action, "schema": "", "table": table, "identity": [id(from)]}),
            _ => json!({"action": action, "schema": "", "table": table}),
        };
        self.tell("cdc", second, line);
    }

    /// Holds the preview of every half second against the scan; gives what it said of each.
    fn check(&self, format: &str) -> Vec<Point> {
        let logs = self.logs.iter().fold(String::new(), |mut logs, (name, text)| {
            std::fs::write(self.folder.path().join(format!("{name}.ndjson")), text).unwrap();
            write!(
                logs,
                "[[log]]\nname = {name:?}\nsource = \"file\"\npath = \"{name}.ndjson\"\nformat = {format:?}\norder = \"position\"\n"
            )
            .unwrap();
            logs
        });
        let (head, rest) = SCHEMA.split_once("[[log]]").unwrap();
        let (_, rest) = rest.split_once("[schema.order]").unwrap();
        let text = format!("{head}{logs}[schema.order]{rest}");
        let config = from_text(&text, "restitch.toml", self.folder.path()).unwrap();
        let path = self.folder.path().join("restored.db");
        self.restore(START - 1, &path);
        let catalogue = wait(Sqlite::open(&path).unwrap().catalogue(&config.schema)).unwrap();
        let input = LogInput {
            logs: &config.logs,
            schema: &config.schema,
            catalogue: &catalogue,
            reject_limit: 0.0,
            wants: Wants {
                history: true,
                ..Wants::default()
            },
        };
        let folded = read(&input, &Progress::default()).unwrap_or_else(|e| panic!("{}", e.error));
        assert_eq!(folded.out_of_time(), 0);
        let preview = Preview::build(&config.schema, &catalogue, &folded);
        let last = self.moments.last().unwrap().0;
        let moments = (-1..)
            .map(|half| START + half * 500_000)
            .take_while(|t| *t <= last + 500_000);
        let points = moments.map(|t| {
            self.restore(t, &path);
            let told = Point {
                not_shown: 0,
                ..preview.at(t)
            };
            assert_eq!(
                told,
                scanned(&config, t, &path),
                "at {}: {:#?}",
                time::format(t),
                self.logs
            );
            told
        });
        points.collect()
    }

    /// The database as it was at `t`.
    fn restore(&self, t: i64, path: &Path) {
        let _ = std::fs::remove_file(path);
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(TABLES).unwrap();
        let then = self.moments.iter().rev().find(|(at, _)| *at <= t);
        for (entity, rows) in then.iter().flat_map(|(_, tables)| tables) {
            for (key, columns) in rows {
                let (names, marks) = columns
                    .keys()
                    .fold((String::new(), String::new()), |(names, marks), name| {
                        (format!("{names}, {name}"), format!("{marks}, ?"))
                    });
                let sql = format!("insert into {} (id{names}) values ({key}{marks})", table_of(entity));
                db.execute(&sql, rusqlite::params_from_iter(columns.values())).unwrap();
            }
        }
    }
}

fn table_of(entity: &str) -> String {
    format!("{entity}s")
}

/// Of each figure the most that any moment had.
fn most(points: &[Point]) -> [u64; 5] {
    let of = |figure: fn(&Point) -> u64| points.iter().map(figure).max().unwrap();
    [
        of(|p| p.orders),
        of(|p| p.lost),
        of(|p| p.regressed),
        of(|p| p.undeleted),
        of(|p| p.orphaned),
    ]
}

#[test]
fn of_several_sources_each_tells_its_part() {
    let mut night = Night::new();
    let order = |key| ("order", key);
    night.event(
        0,
        "a",
        "insert",
        order(1),
        &[("external_id", "SF-1"), ("status", "New")],
    );
    night.event(1, "b", "upsert", order(1), &[("amount", "1.5")]);
    night.event(2, "a", "upsert", order(1), &[("status", "Open")]);
    night.event(2, "b", "insert", order(2), &[("external_id", "SF-2"), ("amount", "2")]);
    night.event(3, "b", "upsert", order(1), &[("amount", "2")]);
    night.event(
        3,
        "a",
        "insert",
        order(3),
        &[("external_id", "SF-3"), ("prior_order_id", "1")],
    );
    night.event(4, "b", "upsert", order(3), &[("amount", "7")]);
    night.event(
        4,
        "a",
        "insert",
        ("order_item", 1),
        &[("order_id", "1"), ("action", "New")],
    );
    night.event(5, "b", "upsert", order(1), &[("amount", "1.50")]);
    night.event(6, "a", "upsert", order(1), &[("status", "New")]);
    night.event(7, "a", "delete", order(3), &[]);
    night.event(7, "b", "delete", order(3), &[]);
    night.event(8, "b", "upsert", order(2), &[("amount", "3")]);
    night.event(9, "a", "delete", ("order_item", 1), &[]);
    let points = night.check("native");
    let [orders, lost, regressed, undeleted, _] = most(&points);
    assert_eq!((orders, lost, regressed, undeleted), (3, 2, 2, 2), "{points:#?}");
    assert_eq!(points.last().unwrap().orders, 0);
}

#[test]
fn a_row_that_moved_is_told_under_both_keys() {
    let mut night = Night::new();
    let order = |key| ("order", key);
    night.change(0, "I", order(1), 0, &[("external_id", "SF-1"), ("status", "New")]);
    night.change(1, "I", order(2), 0, &[("external_id", "SF-2"), ("status", "New")]);
    night.change(1, "I", ("order_item", 5), 0, &[("order_id", "2"), ("action", "New")]);
    // What the move leaves out comes along.
    night.change(2, "U", order(7), 1, &[("status", "Open")]);
    night.change(3, "U", order(7), 7, &[("status", "Done")]);
    // The key is used again.
    night.change(4, "I", order(1), 0, &[("external_id", "SF-4"), ("status", "New")]);
    night.change(5, "D", order(2), 2, &[]);
    night.change(6, "U", order(8), 7, &[("status", "Done")]);
    night.change(7, "U", order(1), 1, &[("status", "Open")]);
    let points = night.check("wal2json");
    let [orders, lost, regressed, undeleted, _] = most(&points);
    assert!(orders >= 3 && lost > 0 && regressed > 0 && undeleted > 0, "{points:#?}");
    assert_eq!(points.last().unwrap().orders, 0);
}

#[test]
fn a_table_that_was_emptied_is_told_row_by_row() {
    let mut night = Night::new();
    let order = |key| ("order", key);
    let item = |key| ("order_item", key);
    night.change(0, "I", order(1), 0, &[("external_id", "SF-1"), ("status", "New")]);
    night.change(1, "I", order(2), 0, &[("external_id", "SF-2"), ("status", "New")]);
    night.change(1, "I", item(1), 0, &[("order_id", "1"), ("action", "New")]);
    night.change(2, "I", item(2), 0, &[("order_id", "2"), ("action", "New")]);
    night.change(3, "T", item(0), 0, &[]);
    night.change(4, "I", item(3), 0, &[("order_id", "1"), ("action", "Change")]);
    night.change(5, "U", order(1), 1, &[("status", "Open")]);
    night.change(6, "T", order(0), 0, &[]);
    night.change(7, "I", order(3), 0, &[("external_id", "SF-3"), ("status", "New")]);
    night.change(8, "I", order(1), 0, &[("external_id", "SF-1"), ("status", "Open")]);
    let points = night.check("wal2json");
    let [orders, lost, regressed, undeleted, _] = most(&points);
    assert!(
        orders >= 3 && lost >= 2 && regressed > 0 && undeleted >= 2,
        "{points:#?}"
    );
    assert_eq!(points.last().unwrap().orders, 0);
}
