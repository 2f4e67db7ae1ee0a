//! The table: a row for each instance, with a sparkline for each resource.

use form_usage_events::units::rfc3339;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::{Board, Running, Sort};
use crate::output::printable;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column: its head, what it sorts by, its width without and with a sparkline, and which history that draws.
struct Column {
    head: &'static str,
    sort: Sort,
    width: u16,
    spark: Option<usize>,
    /// Left out first where there is little room; 0 stays.
    spare: u8,
    show: fn(&Running) -> String,
}

const COLUMNS: [Column; 8] = [
    Column {
        head: "user",
        sort: Sort::User,
        width: 12,
        spark: None,
        spare: 3,
        show: |it| printable(&it.event.user_id).into_owned(),
    },
    Column {
        head: "CPU s",
        sort: Sort::Cpu,
        width: 8,
        spark: None,
        spare: 2,
        show: |it| it.event.metrics.cpu_seconds.to_string(),
    },
    Column {
        head: "CPU %",
        sort: Sort::Cpu,
        width: 6,
        spark: Some(0),
        spare: 0,
        show: |it| format!("{:.1}", it.event.metrics.cpu_percent_avg),
    },
    Column {
        head: "mem GB",
        sort: Sort::Memory,
        width: 8,
        spark: Some(1),
        spare: 0,
        show: |it| format!("{:.2}", it.event.metrics.memory_gb),
    },
    Column {
        head: "disk GB",
        sort: Sort::Storage,
        width: 9,
        spark: None,
        spare: 1,
        show: |it| format!("{:.1}", it.event.metrics.storage_gb),
    },
    Column {
        head: "sent MB",
        sort: Sort::Sent,
        width: 9,
        spark: Some(2),
        spare: 0,
        show: |it| format!("{:.2}", it.event.metrics.network_egress_mb),
    },
    Column {
        head: "recv MB",
        sort: Sort::Received,
        width: 9,
        spark: Some(3),
        spare: 0,
        show: |it| format!("{:.2}", it.event.metrics.network_ingress_mb),
    },
    Column {
        head: "GPU s",
        sort: Sort::Gpu,
        width: 6,
        spark: Some(4),
        spare: 4,
        show: |it| it.event.metrics.gpu_seconds.to_string(),
    },
];

/// The narrowest and the widest sparkline.
const SPARK: std::ops::RangeInclusive<u16> = 6..=30;

/// Draws the board; `said` is the last line that was logged.
pub(super) fn draw(board: &mut Board, frame: &mut Frame<'_>, said: Option<&str>) {
    let [title, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(2), Constraint::Length(1)]).areas(frame.area());
    board.room = usize::from(body.height.saturating_sub(1)).max(1);
    board.above = board.above.min(board.len().saturating_sub(board.room));
    let rows = board.rows();
    frame.render_widget(Paragraph::new(headline(board, &rows)), title);
    let last = (board.above + board.room).min(rows.len());
    let shown = &rows[board.above..last];
    let plan = Plan::of(body.width, &rows);
    frame.render_widget(plan.table(board, shown, &rows), body);
    let words = match said {
        Some(said) => Line::styled(printable(said).into_owned(), Style::new().fg(Color::Yellow)),
        None => keys(board, last),
    };
    frame.render_widget(Paragraph::new(words), foot);
}

fn headline(board: &Board, rows: &[&Running]) -> Line<'static> {
    let mut words = match rows.len() {
        1 => "1 instance".to_owned(),
        count => format!("{count} instances"),
    };
    if board.now > 0
        && let Some(at) = rfc3339(board.now)
    {
        words += &format!("  {}", at.replace('T', " ").replace('Z', " UTC"));
    }
    if let Some(first) = rows.first().map(|running| running.event.period) {
        words += &format!("  period open for {} s", first.end.saturating_sub(first.start));
    }
    Line::from(vec![Span::styled("formusage  ", Style::new().add_modifier(Modifier::BOLD)), Span::raw(words)])
}

fn keys(board: &Board, last: usize) -> Line<'static> {
    let place = if board.len() > board.room {
        format!("rows {} to {last} of {}, ↑ ↓ PgUp PgDn   ", board.above + 1, board.len())
    } else {
        String::new()
    };
    let words =
        format!("{place}q end   sort: i instance u user c CPU m memory d disk s sent r received g GPU, again to turn");
    Line::styled(words, Style::new().add_modifier(Modifier::DIM))
}

/// Which columns there is room for.
struct Plan {
    instance: u16,
    columns: Vec<&'static Column>,
    /// How wide sparklines are; 0 where there are none.
    spark: u16,
}

impl Plan {
    fn of(width: u16, rows: &[&Running]) -> Self {
        let longest = rows.iter().map(|it| it.event.instance_id.chars().count()).max().unwrap_or(0);
        let instance = u16::try_from(longest).unwrap_or(u16::MAX).clamp(8, (width / 3).max(8));
        let gpu = rows.iter().any(|it| it.event.metrics.gpu_seconds > 0);
        let mut columns: Vec<&'static Column> = COLUMNS.iter().filter(|it| gpu || it.sort != Sort::Gpu).collect();
        loop {
            let used = instance + columns.iter().map(|column| column.width + 1).sum::<u16>();
            let sparks = columns.iter().filter(|column| column.spark.is_some()).count();
            let sparks = u16::try_from(sparks).unwrap_or(1).max(1);
            let each = width.saturating_sub(used) / sparks;
            let spark = if each > *SPARK.start() { (each - 1).min(*SPARK.end()) } else { 0 };
            let spare = columns.iter().map(|column| column.spare).filter(|spare| *spare > 0).min();
            match spare {
                Some(spare) if used > width || spark == 0 => columns.retain(|column| column.spare != spare),
                _ => return Self { instance, columns, spark },
            }
        }
    }

    fn table(&self, board: &Board, shown: &[&Running], all: &[&Running]) -> Table<'static> {
        let mut widths = vec![Constraint::Length(self.instance)];
        let mut head = vec![self.head(board, "instance", Sort::Instance, Alignment::Left)];
        for column in &self.columns {
            let left = column.sort == Sort::User;
            widths.push(Constraint::Length(column.width));
            head.push(self.head(
                board,
                column.head,
                column.sort,
                if left { Alignment::Left } else { Alignment::Right },
            ));
            if column.spark.is_some() && self.spark > 0 {
                widths.push(Constraint::Length(self.spark));
                head.push(Cell::from(""));
            }
        }
        // Sparklines of a column share their scale, so that instances can be compared.
        let tops: Vec<f64> =
            self.columns.iter().map(|column| column.spark.map_or(0.0, |of| self.top(all, of))).collect();
        let rows = shown.iter().map(|running| {
            let mut cells = vec![Cell::from(printable(&running.event.instance_id).into_owned())];
            for (column, top) in self.columns.iter().zip(&tops) {
                let is_unknown = column.sort.metrics().intersects(running.not_metered);
                let text = if is_unknown { Text::from("?") } else { Text::from((column.show)(running)) };
                let left = column.sort == Sort::User;
                cells.push(Cell::from(text.alignment(if left { Alignment::Left } else { Alignment::Right })));
                if let Some(of) = column.spark.filter(|_| self.spark > 0) {
                    let line = spark(running.history[of].iter().copied(), usize::from(self.spark), *top);
                    cells.push(Cell::from(Span::styled(line, Style::new().fg(Color::Cyan))));
                }
            }
            Row::new(cells)
        });
        Table::new(rows, widths).header(Row::new(head)).column_spacing(1)
    }

    fn head(&self, board: &Board, name: &str, sort: Sort, alignment: Alignment) -> Cell<'static> {
        let mut style = Style::new().add_modifier(Modifier::BOLD);
        if board.sort == sort {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        Cell::from(Text::styled(name.to_owned(), style).alignment(alignment))
    }

    fn top(&self, rows: &[&Running], of: usize) -> f64 {
        let shown = usize::from(self.spark);
        rows.iter().flat_map(|it| it.history[of].iter().rev().take(shown)).fold(0.0, |top, value| top.max(*value))
    }
}

/// The last `width` values as bars; the newest stands on the right.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn spark(values: impl ExactSizeIterator<Item = f64>, width: usize, top: f64) -> String {
    let skipped = values.len().saturating_sub(width);
    let bars = values.skip(skipped).map(|value| {
        let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    });
    let line: String = bars.collect();
    format!("{line:>width$}")
}
