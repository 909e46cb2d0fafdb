package accumulator

// rowBits is the size of a row of records with one channel: 64 records.
const rowBits = 6

// waits are the channels of goroutines waiting in Get for records of one batch. There is one for each row of records:
// the outcome of a single record wakes the goroutines of its row only, for a batch can have as many waiting goroutines
// as records. Most batches need one channel, and no map.
type waits struct {
	changed chan struct{}
	row     int32 // of changed
	others  map[int32]chan struct{}
}

// of returns the channel of record i, made at its first use.
func (w *waits) of(i int32) chan struct{} {
	row := i >> rowBits
	if w.changed == nil {
		w.changed, w.row = make(chan struct{}), row
	}
	if w.row == row {
		return w.changed
	}
	ch := w.others[row]
	if ch == nil {
		if w.others == nil {
			w.others = make(map[int32]chan struct{})
		}
		ch = make(chan struct{})
		w.others[row] = ch
	}
	return ch
}

// take removes and returns the channel of record i, or nil.
func (w *waits) take(i int32) (ch chan struct{}) {
	row := i >> rowBits
	if w.row == row && w.changed != nil {
		ch, w.changed = w.changed, nil
		return ch
	}
	ch = w.others[row]
	delete(w.others, row)
	return ch
}

// wakeup has the channels of goroutines with outcomes for their records now. It is collected under Result.mu, and
// called when no lock is held.
type wakeup struct {
	changed     chan struct{}
	rows, dones map[int32]chan struct{}
	more        []chan struct{}
}

// add adds a channel unless it is nil.
func (w *wakeup) add(ch chan struct{}) {
	if ch != nil {
		w.more = append(w.more, ch)
	}
}

func (w *wakeup) call() {
	if w.changed != nil {
		close(w.changed)
	}
	if w.rows != nil {
		for _, ch := range w.rows {
			close(ch)
		}
	}
	if w.dones != nil {
		for _, ch := range w.dones {
			close(ch)
		}
	}
	closeAll(w.more)
}
