package csvrow

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/crosstie/crosstie/batchsync"
)

// tailKept is how many bytes before a position vouch for it.
const tailKept = 64

// position says where the next record begins, and what stands before it, so
// that a file that was replaced is not read on from its middle.
func (r *reader[T]) position() string {
	s := r.scan
	tail := s.buf[max(0, s.pos-tailKept):s.pos]
	return fmt.Sprintf("1;%d;%d;%d;%x;%x", s.offset(), s.line, len(tail), sum(tail), r.sum)
}

// resume goes to a position. It has read the header.
func (r *reader[T]) resume(f io.ReadSeeker, after string) error {
	var offset int64
	var line, n int
	var tail, head uint64
	if _, err := fmt.Sscanf(after, "1;%d;%d;%d;%x;%x", &offset, &line, &n, &tail, &head); err != nil ||
		offset < int64(n) || n < 0 || n > tailKept || line < 1 {
		return fmt.Errorf("csvrow: %w: it is no position of this package", batchsync.ErrCursor)
	}
	if head != r.sum {
		return fmt.Errorf("csvrow: %w: the header is another", batchsync.ErrCursor)
	}
	if _, err := f.Seek(offset-int64(n), io.SeekStart); err != nil {
		return fmt.Errorf("csvrow: seek: %w", err)
	}
	before := make([]byte, n)
	switch _, err := io.ReadFull(f, before); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return fmt.Errorf("csvrow: %w: the file is shorter", batchsync.ErrCursor)
	case err != nil:
		return fmt.Errorf("csvrow: read: %w", err)
	case sum(before) != tail:
		return fmt.Errorf("csvrow: %w: the text before it is another", batchsync.ErrCursor)
	}
	r.scan.restart(f, offset, line)
	return nil
}

func sum(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = io.Copy(h, bytes.NewReader(b))
	return h.Sum64()
}
