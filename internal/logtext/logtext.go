// Package logtext keeps a log's text for tests.
package logtext

import (
	"bytes"
	"sync"
)

// Text is a log's text. Many goroutines may write and read it.
type Text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to the text.
func (t *Text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(b)
}

// String returns the text so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
