package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// remembered is a random pipeline of which checkouts of one store are built whole and in parts, while all that enters changes and goes back.
type remembered struct {
	*pipeline
	t         *testing.T
	store     string
	checkouts []string // their roots
	comments  int      // what else the files that declare the workspace say
	frozen    map[string]bool
	gone      map[string]string // files that were there
}

func newRemembered(t *testing.T, seed uint64) *remembered {
	p := newPipeline(t, seed)
	p.glob = seed%4 < 2
	return &remembered{p, t, filepath.Join(memoryDir(t), "store"), []string{p.root, memoryDir(t)}, 0, map[string]bool{}, map[string]string{}}
}

// step does one thing, and says what.
func (p *remembered) step() string {
	p.t.Helper()
	p.root = p.checkouts[min(p.r.IntN(4), 1)^1] // mostly the first
	p.sync()
	switch p.r.IntN(14) {
	case 0, 1:
		p.edit()
		return "edit"
	case 2:
		p.comments = p.r.IntN(3)
		return "comment"
	case 3:
		name := p.targets[2+p.r.IntN(len(p.targets)-2)].name
		p.frozen[name] = !p.frozen[name]
		return "freeze " + name
	case 4:
		p.lose()
		return "files"
	case 5:
		if err := os.RemoveAll(filepath.Join(p.root, "dpb-out")); err != nil {
			p.t.Fatal(err)
		}
		return "dpb-out"
	case 6, 7, 8, 9:
		c := p.opened()
		all, _ := c.Graph.Select([]engine.Pattern{{Below: true}})
		p.ask(c, all)
		return "all"
	default:
		c := p.opened()
		n := c.Graph.Nodes[p.r.IntN(len(c.Graph.Nodes))]
		i := p.r.IntN(n.Set.Len())
		p.ask(c, []graph.Selected{{Node: n, Partitions: []int{i}}})
		return n.Target.Label.At(n.Set.Text(i))
	}
}

// lose takes a file away, or brings one back.
func (p *remembered) lose() {
	for name, content := range p.gone { // there is one at most
		p.files[name] = content
		delete(p.gone, name)
		return
	}
	name := "s1.txt"
	if p.r.IntN(3) > 0 {
		name = p.dayFile(p.r.IntN(p.days))
	}
	p.gone[name] = p.files[name]
	delete(p.files, name)
}

// sync makes the files of the checkout what they are to be.
func (p *remembered) sync() {
	p.t.Helper()
	p.write(p.t)
	for name := range p.gone {
		if err := os.Remove(filepath.Join(p.root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.t.Fatal(err)
		}
	}
}

func (p *remembered) opened() Config {
	c := p.config(p.t, p.store)
	c.Declared = cache.Sum(fmt.Append(nil, p.comments))
	for _, n := range c.Graph.Nodes {
		n.Target.Freeze = engine.Freeze{Set: p.frozen[n.Target.Label.Name]}
	}
	return c
}

// ask builds, as far as that can be.
func (p *remembered) ask(c Config, selected []graph.Selected) {
	p.t.Helper()
	s, err := Open(c)
	if err == nil {
		_, err = s.Build(context.Background(), selected, Options{Jobs: 2, Events: silent{}, KeepGoing: true})
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// status says of each action what it is and what it holds.
func (p *remembered) status() (all []string, file string) {
	p.t.Helper()
	c := p.opened()
	c.ReadOnly = true
	s, err := Open(c)
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	selected, _ := s.Graph.Select([]engine.Pattern{{Below: true}})
	d, err := s.Status(context.Background(), selected)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range s.Graph.Nodes {
		for i := range n.Set.Len() {
			trees := []string{}
			for o := range n.Target.Outputs {
				trees = append(trees, d.Tree(n, i, o).Short())
			}
			all = append(all, fmt.Sprint(n.Target.Label.At(n.Set.Text(i)), " ", d.State(n, i), " ", d.Key(n, i).Short(), " ", trees))
		}
	}
	return all, filepath.Join(s.checkoutDir(s.Environment), memoryFile)
}

// TestRandomMemory: whatever was built, changed, lost and brought back before, what is remembered says what a look at everything does.
func TestRandomMemory(t *testing.T) {
	t.Parallel()
	frozen, recalled := 0, 0
	for seed := range uint64(*seeds / 4) {
		p := newRemembered(t, seed)
		var steps []string
		for range 25 {
			steps = append(steps, p.step())
			p.sync()
			with, file := p.status()
			hidden := file + ".hidden"
			if os.Rename(file, hidden) == nil {
				recalled++
			}
			without, _ := p.status()
			_ = os.Rename(hidden, file)
			for k, w := range without {
				if with[k] != w {
					t.Fatalf("seed %d, after %q, of %s:\nwith what is remembered %s\nwithout it              %s", seed, steps, p.root, with[k], w)
				}
			}
		}
		frozen += len(p.frozen)
	}
	if *seeds >= 8 && (frozen == 0 || recalled == 0) {
		t.Error("nothing was frozen, or nothing remembered")
	}
}
