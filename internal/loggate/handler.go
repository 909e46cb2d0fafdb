package loggate

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// handler is the slog.Handler of the library's loggers. Its methods never call the user's handler.
type handler struct {
	gate *Gate
	// wrap adds the arguments of With and WithGroup.
	wrap func(attrs []slog.Attr) []slog.Attr
}

// Enabled admits every line from Debug on: the gate asks the user's handler when the line's turn comes. Few lines are
// made in vain, for the library logs nothing in the course of a successful delivery.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelDebug || h.gate.trace
}

// Handle queues the record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	g := h.gate
	if r.Level < slog.LevelInfo {
		g.push(line{record: h.frozen(r), trace: r.Level < slog.LevelDebug})
		return nil
	}
	k := kindOf(r)
	g.mu.Lock()
	verdict, suppressed := g.limit.admit(k, time.Now())
	g.mu.Unlock()
	switch verdict {
	case pass:
		r = h.frozen(r)
		if suppressed > 0 {
			r.AddAttrs(slog.Int(suppressedKey, suppressed))
		}
		g.push(line{record: r})
	case keep:
		r = h.frozen(r)
		g.mu.Lock()
		g.limit.keep(k, r)
		g.mu.Unlock()
	}
	return nil
}

// WithAttrs returns a handler with more attributes.
func (h *handler) WithAttrs(more []slog.Attr) slog.Handler {
	return &handler{gate: h.gate, wrap: func(attrs []slog.Attr) []slog.Attr {
		return h.wrap(append(more[:len(more):len(more)], attrs...))
	}}
}

// WithGroup returns a handler with a group for later attributes.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{gate: h.gate, wrap: func(attrs []slog.Attr) []slog.Attr {
		return h.wrap([]slog.Attr{{Key: name, Value: slog.GroupValue(attrs...)}})
	}}
}

// frozen returns a copy of a record, with attributes that no longer change.
func (h *handler) frozen(r slog.Record) slog.Record {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, slog.Attr{Key: a.Key, Value: freeze(a.Value)})
		return true
	})
	copied := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	copied.AddAttrs(h.wrap(attrs)...)
	return copied
}

// freeze turns all values except plain ones into text now. An error stays an error, for handlers that look into it.
func freeze(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindAny, slog.KindLogValuer:
	case slog.KindString:
		return bounded(v.String())
	default:
		return v
	}
	switch any := v.Any().(type) {
	case nil:
		return v
	case error:
		if err := fmt.Errorf("%w", any); len(err.Error()) <= mostText {
			return slog.AnyValue(err)
		}
		return bounded(any.Error())
	default:
		return bounded(fmt.Sprint(any))
	}
}

// bounded cuts a text to mostText.
func bounded(text string) slog.Value {
	if len(text) > mostText {
		text = strings.Clone(text[:mostText]) + "…"
	}
	return slog.StringValue(text)
}
