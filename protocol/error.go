package protocol

import (
	"strings"
	"unicode"
)

// maxMessage bounds how much of a broker's message an error repeats, in bytes.
const maxMessage = 512

// Error is a broker's refusal. Find it with [errors.As]; [errors.Is] takes two errors with the same code for the same.
type Error struct {
	// Code is never [None].
	Code ErrorCode
	// Message is the broker's own message, unchanged. It may be empty.
	Message string
}

// Error gives the code's name and number, its meaning, a remedy, and the broker's message: bounded, and without control
// characters, so no broker can write lines into a log.
func (e *Error) Error() string {
	text := e.Code.String() + ": " + e.Code.Description()
	if remedy := e.Code.Remedy(); remedy != "" {
		text += "; " + remedy
	}
	if message := clean(e.Message); message != "" {
		text += "; the broker says: " + message
	}
	return text
}

// Is reports whether target is an Error with the same code. It ignores the messages.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// clean makes a broker's message fit for a log.
func clean(message string) string {
	cut := len(message) > maxMessage
	if cut {
		message = message[:maxMessage]
	}
	message = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(message, ""))
	message = strings.TrimSuffix(strings.TrimSpace(message), ".") // the text may go on
	if cut {
		message += "…"
	}
	return message
}
