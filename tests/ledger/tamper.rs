//! No line of the trail, no deed.

use crate::contract::{Kind, Verb, asking, claim, order, store};
use crate::room::Room;
use restitch::domain::ErrorKind;

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (1..=100).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 1..=100 {
        claim(&mut ledger, &[&format!("order:{k}")]);
    }
    room.sql(
        "CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON restitch.kept_audit FOR EACH ROW EXECUTE FUNCTION public.broken()",
    );
    for k in 1..=100 {
        let error = ledger.decide(&asking(&format!("order:{k}"), Verb::Keep)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    }
    let decided = "SELECT (SELECT count(*) FROM restitch.kept_decided) + (SELECT count(*) FROM restitch.kept_cases WHERE state <> 'open')";
    assert_eq!(room.sql(decided), "0");
    room.sql("DROP TRIGGER broken ON restitch.kept_audit");
    for k in 1..=100 {
        ledger.decide(&asking(&format!("order:{k}"), Verb::Keep)).unwrap();
    }
    assert_eq!(room.sql(decided), "200");
    assert_eq!(ledger.verify().unwrap(), 201);
}
