package loggate

import (
	"log/slog"
	"slices"
	"time"
)

const (
	// Window is the time for one line of a kind.
	Window = 30 * time.Second
	// mostKinds bounds the remembered kinds. Beyond it all subjects of a message are one kind.
	mostKinds = 1000
	// mostText is how many bytes of a text are kept: a queue bounds the number of lines, and this bounds each.
	mostText = 16 << 10
	// suppressedKey is the attribute with the number of suppressed lines of the kind.
	suppressedKey = "suppressed"
)

// kind is the common part of repeated lines: the message, and the attributes of the line's subject.
type kind struct {
	message string
	subject string // a topic, an address, or an interceptor
	reason  string
	broker  int64
}

// kindOf returns the kind of a record.
func kindOf(r slog.Record) kind {
	k := kind{message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Value.Kind() == slog.KindInt64 && a.Key == "broker":
			k.broker = a.Value.Int64()
		case a.Value.Kind() != slog.KindString:
		case a.Key == "topic" || a.Key == "address" || a.Key == "interceptor":
			k.subject = a.Value.String()
		case a.Key == "reason":
			k.reason = a.Value.String()
		}
		return true
	})
	return k
}

// limiter passes or suppresses lines. The gate's mu guards it.
type limiter struct {
	kinds  map[kind]*repeated
	timer  *time.Timer // runs while there are kinds
	over   func()
	closed bool
}

// repeated is the state of a kind.
type repeated struct {
	until      time.Time // before this, lines are suppressed
	suppressed int
	first      slog.Record // of the suppressed ones; the zero value until its text is made
}

// verdict is the decision about a line.
type verdict int

const (
	pass verdict = iota
	drop
	keep // the first suppressed one, to be written if no other line of its kind follows
)

func (l *limiter) init(over func()) { l.kinds, l.over = make(map[kind]*repeated), over }

// admit counts a line. If the line passes, suppressed is the number of suppressed lines before it.
func (l *limiter) admit(k kind, now time.Time) (v verdict, suppressed int) {
	if l.closed {
		return pass, 0 // nothing would write a line held back now
	}
	one := l.kinds[k]
	if one == nil && len(l.kinds) >= mostKinds {
		k = kind{message: k.message}
		one = l.kinds[k]
	}
	if one == nil {
		one = new(repeated)
		l.kinds[k] = one
		if len(l.kinds) == 1 {
			l.arm()
		}
	}
	if now.Before(one.until) {
		if one.suppressed++; one.suppressed == 1 {
			return keep, 0
		}
		return drop, 0
	}
	suppressed = one.suppressed
	*one = repeated{until: now.Add(Window)}
	return pass, suppressed
}

// keep takes the first suppressed line of a kind.
func (l *limiter) keep(k kind, r slog.Record) {
	one := l.kinds[k]
	if one == nil {
		one = l.kinds[kind{message: k.message}]
	}
	if one != nil && one.suppressed > 0 {
		one.first = r
	}
}

func (l *limiter) arm() {
	if l.timer == nil {
		l.timer = time.AfterFunc(Window, l.over)
	} else {
		l.timer.Reset(Window)
	}
}

// windowOver returns the lines due without a follower of their kind, and forgets kinds without state.
func (l *limiter) windowOver(now time.Time) []slog.Record {
	if l.closed {
		return nil
	}
	due := l.held(func(one *repeated) bool { return !now.Before(one.until) }, now)
	if len(l.kinds) > 0 {
		l.arm()
	}
	return due
}

// close returns all lines held back. After it no timer runs.
func (l *limiter) close() []slog.Record {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.closed = true
	return l.held(func(*repeated) bool { return true }, time.Now())
}

// held returns the lines held back of the matching kinds, in the order of their times. A kind without one is forgotten.
func (l *limiter) held(match func(*repeated) bool, now time.Time) (due []slog.Record) {
	for k, one := range l.kinds {
		switch {
		case !match(one):
		case one.suppressed == 0:
			delete(l.kinds, k)
		case !one.first.Time.IsZero():
			r := one.first
			if one.suppressed > 1 {
				r.AddAttrs(slog.Int(suppressedKey, one.suppressed-1))
			}
			due = append(due, r)
			*one = repeated{until: now.Add(Window)}
		}
	}
	slices.SortFunc(due, func(a, b slog.Record) int { return a.Time.Compare(b.Time) })
	return due
}
