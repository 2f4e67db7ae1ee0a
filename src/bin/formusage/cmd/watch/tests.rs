use form_usage_events::events::{EVENT_TYPE, UsageMetrics, UsagePeriod, VERSION};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

/// All of it was measured.
impl From<UsageEvent> for Period {
    fn from(event: UsageEvent) -> Self {
        Self { event, not_metered: MetricSet::NONE }
    }
}

fn look(board: &mut Board, now: i64, open: impl IntoIterator<Item = UsageEvent>) {
    board.look(now, open.into_iter().map(Period::from));
}

/// An instance's open period at its `second`th second.
fn open(instance: &str, second: i64, percent: f64) -> UsageEvent {
    #[allow(clippy::cast_precision_loss)]
    let passed = second as f64;
    UsageEvent {
        event_type: EVENT_TYPE.into(),
        version: VERSION.into(),
        timestamp: 1_626_350_400 + second,
        instance_id: instance.into(),
        user_id: "alice".into(),
        org_id: None,
        metrics: UsageMetrics {
            cpu_seconds: second.unsigned_abs(),
            cpu_percent_avg: percent,
            memory_gb: 4.2,
            memory_percent: 52.5,
            storage_gb: 25.7,
            network_egress_mb: passed * 2.0,
            network_ingress_mb: passed,
            gpu_seconds: 0,
        },
        period: UsagePeriod { start: 1_626_350_400, end: 1_626_350_400 + second },
    }
}

fn screen(board: &mut Board, width: u16, height: u16, said: Option<&str>) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(board, frame, said)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height).map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned()).collect()
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn shows_the_open_period_with_sparklines() {
    let mut board = Board::default();
    for second in 1..=8 {
        let rising = open("web-1", second, 10.0);
        // An average of 5 a second more each second: 5, 10, 15, … between looks.
        #[allow(clippy::cast_precision_loss)]
        let other = open("web-2", second, 2.5 * (second as f64 + 1.0));
        look(&mut board, 1_626_350_400 + second, [rising, other]);
    }
    let lines = screen(&mut board, 120, 6, None);
    assert!(lines[0].contains("2 instances  2021-07-15 12:00:08 UTC  period open for 8 s"), "{lines:#?}");
    assert!(lines[1].contains("instance") && lines[1].contains("CPU %") && !lines[1].contains("GPU"), "{lines:#?}");
    assert!(lines[2].starts_with("web-2") && lines[2].contains("22.5") && lines[2].contains("▂▃▄▅▅▆▇█"), "{lines:#?}");
    assert!(lines[3].starts_with("web-1") && lines[3].contains("16.00"), "{lines:#?}");
    assert!(lines[5].starts_with("q end"), "{lines:#?}");
    assert!(screen(&mut board, 120, 6, Some("WARN no\treading"))[5].starts_with("WARN no"));
    let narrow = screen(&mut board, 50, 6, None);
    assert!(narrow[1].contains("CPU %") && narrow[1].contains("recv MB") && !narrow[1].contains("user"), "{narrow:#?}");
    for (width, height) in [(1, 1), (3, 2), (10, 3), (500, 100)] {
        screen(&mut board, width, height, None);
    }
}

#[test]
fn keys_sort_scroll_and_end() {
    let mut board = Board::default();
    #[allow(clippy::cast_precision_loss)]
    look(&mut board, 1_626_350_401, (0..40).map(|n| open(&format!("i-{n:02}"), 1, n as f64)));
    let first = |board: &mut Board| screen(board, 100, 12, None)[2][..4].to_owned();
    assert_eq!(first(&mut board), "i-39");
    board.key(key(KeyCode::Char('c')));
    assert_eq!(first(&mut board), "i-00");
    board.key(key(KeyCode::Char('i')));
    assert_eq!(first(&mut board), "i-00");
    board.key(key(KeyCode::PageDown));
    assert_eq!(first(&mut board), "i-09");
    board.key(key(KeyCode::End));
    assert_eq!(first(&mut board), "i-31");
    board.key(key(KeyCode::Down));
    assert_eq!(first(&mut board), "i-31");
    assert!(screen(&mut board, 100, 12, None)[11].contains("rows 32 to 40 of 40"));
    // Who is gone leaves no hole.
    look(&mut board, 1_626_350_402, [open("i-07", 2, 1.0)]);
    assert_eq!(first(&mut board), "i-07");
    assert_eq!(board.key(key(KeyCode::Char('x'))), Asked::Nothing);
    assert_eq!(board.key(key(KeyCode::Char('q'))), Asked::End);
    assert_eq!(board.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Asked::End);
}

#[test]
fn a_new_period_starts_a_new_sum_and_no_spike() {
    let mut board = Board::default();
    look(&mut board, 0, [open("a", 10, 10.0)]);
    let mut next = open("a", 1, 10.0);
    next.period = UsagePeriod { start: 1_626_350_410, end: 1_626_350_411 };
    look(&mut board, 1, [next.clone()]);
    look(&mut board, 1, [next]);
    let sent: Vec<f64> = board.rows()[0].history[2].iter().copied().collect();
    assert_eq!(sent, [2.0, 2.0]);
}

#[test]
fn an_instance_whose_period_just_ended_stays() {
    let mut board = Board::default();
    look(&mut board, 9, [open("a", 9, 10.0)]);
    // The meter has no open period at the second where one ends.
    look(&mut board, 10, [open("a", 10, 10.0)]);
    assert_eq!((board.len(), board.rows()[0].history[2].len()), (1, 2));
    // A late look: what was closed, and what is open since.
    let mut next = open("a", 2, 10.0);
    next.period = UsagePeriod { start: 1_626_350_411, end: 1_626_350_413 };
    look(&mut board, 13, [open("a", 11, 10.0), next]);
    let sent: Vec<f64> = board.rows()[0].history[2].iter().copied().collect();
    assert_eq!(sent, [2.0; 4]);
    look(&mut board, 14, []);
    assert_eq!(board.len(), 0);
}

#[test]
fn what_could_not_be_measured_is_shown_as_unknown() {
    let mut board = Board::default();
    let not_metered = MetricSet::STORAGE.union(MetricSet::CPU);
    let event =
        UsageEvent { metrics: UsageMetrics { storage_gb: 0.0, ..open("a", 1, 0.0).metrics }, ..open("a", 1, 0.0) };
    board.look(1, [Period { event, not_metered }]);
    let row = &screen(&mut board, 120, 4, None)[2];
    assert_eq!(row.matches(" ?").count(), 3, "{row}");
    assert!(row.contains("4.20") && !row.contains("0.0 "), "{row}");
}
