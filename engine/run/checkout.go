package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// Checkout is one that uses a store, as it registered itself when it last built.
type Checkout struct {
	Environment  string    `json:"environment"`
	Root         string    `json:"root,omitempty"` // "": nobody knows where it is
	Seen         time.Time `json:"seen"`
	Here         bool      `json:"here"`                        // its folder is there
	Unregistered time.Time `json:"unregistered,omitzero"`       // since when nothing is kept for it
	Just         bool      `json:"just_unregistered,omitempty"` // by this command
	retention    engine.Retention
}

// Files in a checkout's folder.
const (
	PackagesFile = "packages" // as they were loaded, see package hcl
	CheckedFile  = "checked"  // see CheckedSQL
)

const (
	checkoutFile   = "checkout"
	checkoutHeader = "dpb checkout 1"
	// seenAgain is how old a registration may be before a build writes it again.
	seenAgain = time.Hour
)

// encode writes a registration: text, a field a line.
func (c *Checkout) encode() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nroot %q\nseen %s\nkeep_versions %d\nkeep_days %d\nunseen_days %d\n", checkoutHeader, c.Root, c.Seen.UTC().Format(time.RFC3339),
		c.retention.KeepVersions, c.retention.KeepDays, c.retention.UnseenDays)
	if !c.Unregistered.IsZero() {
		fmt.Fprintf(&b, "unregistered %s\n", c.Unregistered.UTC().Format(time.RFC3339))
	}
	return []byte(b.String())
}

var errCheckout = errors.New("damaged registration of a checkout")

func decodeCheckout(environment string, b []byte) (c Checkout, err error) {
	c = Checkout{Environment: environment, retention: engine.DefaultRetention}
	lines := strings.Split(string(b), "\n")
	if lines[0] != checkoutHeader || len(lines) < 7 || lines[len(lines)-1] != "" {
		return c, errCheckout
	}
	for _, line := range lines[1 : len(lines)-1] {
		name, value, _ := strings.Cut(line, " ")
		var err error
		switch name {
		case "root":
			c.Root, err = strconv.Unquote(value)
		case "seen":
			c.Seen, err = time.Parse(time.RFC3339, value)
		case "keep_versions":
			c.retention.KeepVersions, err = strconv.Atoi(value)
		case "keep_days":
			c.retention.KeepDays, err = strconv.Atoi(value)
		case "unseen_days":
			c.retention.UnseenDays, err = strconv.Atoi(value)
		case "unregistered":
			c.Unregistered, err = time.Parse(time.RFC3339, value)
		default:
			err = errCheckout
		}
		if err != nil {
			return c, errCheckout
		}
	}
	return c, nil
}

func (s *Session) checkoutDir(environment string) string {
	return CheckoutDir(s.Store.Dir, environment)
}

// CheckoutDir is where a store keeps what is of one environment alone.
func CheckoutDir(store, environment string) string {
	return filepath.Join(store, "checkouts", environment)
}

// readCheckout reads a registration. Of one that is missing or damaged nobody knows more than the environment.
func (s *Session) readCheckout(environment string) (Checkout, error) {
	b, err := os.ReadFile(filepath.Join(s.checkoutDir(environment), checkoutFile))
	if err != nil {
		return Checkout{Environment: environment, retention: engine.DefaultRetention}, err
	}
	return decodeCheckout(environment, b)
}

func (s *Session) writeCheckout(c Checkout) error {
	dir := s.checkoutDir(c.Environment)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return disk.WriteFile(filepath.Join(dir, checkoutFile), c.encode())
}

// own is how this checkout registers itself.
func (s *Session) own() (Checkout, error) {
	root, err := filepath.EvalSymlinks(s.Root)
	return Checkout{Environment: s.Environment, Root: root, Seen: time.Now().UTC().Truncate(time.Second), Here: true, retention: s.Graph.Workspace.Retention}, err
}

// register notes that this checkout uses the store, for dpb gc.
func (s *Session) register() error {
	c, err := s.own()
	if err != nil {
		return err
	}
	known, err := s.readCheckout(s.Environment)
	if age := c.Seen.Sub(known.Seen); err == nil && age >= 0 && age < seenAgain {
		known.Seen, known.Here = c.Seen, true
		if known == c {
			return nil
		}
	}
	return s.writeCheckout(c)
}

// checkouts lists all that ever used the store. One that can't be looked at is there: only what is known to be gone is gone.
func (s *Session) checkouts() (out []Checkout, err error) {
	names, err := s.Ledger.Environments()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.Store.Dir, "checkouts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		c, err := s.lookAt(name)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (s *Session) lookAt(environment string) (Checkout, error) {
	if environment == s.Environment {
		return s.own()
	}
	c, err := s.readCheckout(environment)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errCheckout):
		c.Seen, c.Root = time.Now(), "" // its time begins
		return c, nil
	case err != nil || c.Root == "":
		return c, err
	}
	info, err := os.Stat(c.Root)
	c.Here = err == nil && info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
	return c, nil
}
