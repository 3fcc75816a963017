package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// found is what lay at the ledger's place before SQLite opened it, which takes an empty file for a new database and deletes the log beside it.
type found struct {
	dir   string
	there bool
	cut   bool // it is shorter than its header says; the log may have the rest
}

// look refuses what SQLite would lose.
func look(file string) (found, error) {
	f := found{dir: filepath.Dir(file)}
	size := sizeOf(file)
	f.there = size >= 0
	if size <= 0 && sizeOf(file+"-wal") > 0 && sizeOf(file) <= 0 { // else another process has just made it
		return f, fmt.Errorf("%w (it is empty or gone, and %s-wal has records that belong to it)", ErrDamaged, fileName)
	}
	f.cut = size > 0 && size < sizeSaid(file)
	return f, nil
}

func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return -1
	}
	return info.Size()
}

// sizeSaid is how long a database is by its header; more than it can be if it has none.
func sizeSaid(file string) int64 {
	const tooLong = 1 << 62
	f, err := headers.open(file)
	if err != nil {
		return tooLong
	}
	header := make([]byte, 100)
	if _, err := f.ReadAt(header, 0); err != nil {
		return tooLong
	}
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 1 << 16
	}
	return page * int64(binary.BigEndian.Uint32(header[28:]))
}

// headers are the databases whose headers were read. They stay open as long as a ledger of the same file does: to close a file takes all locks that this process has on it, also
// those by which SQLite keeps other processes from taking the log away under a ledger that is open here.
var headers = openFiles{files: map[string]*openFile{}}

type openFiles struct {
	mu    sync.Mutex
	files map[string]*openFile
}

type openFile struct {
	users int
	list  []*os.File
}

// enter comes before a ledger is opened, and leave when it is closed.
func (o *openFiles) enter(file string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.files[file] == nil {
		o.files[file] = &openFile{}
	}
	o.files[file].users++
}

func (o *openFiles) leave(file string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	x := o.files[file]
	if x.users--; x.users > 0 {
		return
	}
	for _, f := range x.list {
		_ = f.Close() // it was only read
	}
	delete(o.files, file)
}

func (o *openFiles) open(file string) (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, err := os.Open(file)
	if err == nil {
		o.files[file].list = append(o.files[file].list, f)
	}
	return f, err
}

// whole fails if what was found was cut off: SQLite would take what lacks of a page for zeros.
func (f found) whole(c *sqlite.Conn) error {
	if !f.cut {
		return nil
	}
	problem := ""
	err := sqlitex.ExecuteTransient(c, "PRAGMA integrity_check(1)", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		problem = s.ColumnText(0)
		return nil
	}})
	if err == nil && problem != "ok" {
		err = fmt.Errorf("%w (it was cut off: %s)", ErrDamaged, problem)
	}
	return err
}

// check is check of what was found.
func (f found) check(c *sqlite.Conn) error {
	if err := f.whole(c); err != nil {
		return err
	}
	if err := check(c); !errors.Is(err, ErrNone) {
		return err
	}
	return f.empty()
}

// empty is the error of a database without tables: there is none yet, or it was lost, for the store has bytes.
func (f found) empty() error {
	if blobs, _ := filepath.Glob(filepath.Join(f.dir, "blobs", "*")); f.there && len(blobs) > 0 {
		return fmt.Errorf("%w (it is empty, and the store is not)", ErrDamaged)
	}
	return ErrNone
}
