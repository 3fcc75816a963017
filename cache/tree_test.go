package cache

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pinned formats anew; a change of them needs a new format version")

// sample has one entry of each kind.
func sample() []Entry {
	return []Entry{
		{Path: "part-0.csv", Kind: File, Digest: Sum([]byte("id\n1\n")), Size: 5},
		{Path: "bin/run", Kind: Exec, Digest: Sum(nil)},
		{Path: "latest", Kind: Link, Target: "part-0.csv"},
		{Path: "bin/up", Kind: Link, Target: "../part-0.csv"},
		{Path: "empty", Kind: Dir},
		{Path: "Größe 1.txt", Kind: File, Digest: Sum([]byte("x")), Size: 1},
	}
}

// TestPinnedTree holds the encoding of trees still: a store that was written yesterday must be understood today.
func TestPinnedTree(t *testing.T) {
	t.Parallel()
	full, err := NewTree(sample())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("empty tree %s\n%q\n\ntree %s\n%q\n\nblob of \"hello\" %s\n", Tree{}.Digest(), Tree{}.Encode(), full.Digest(), full.Encode(), Sum([]byte("hello")))
	const file = "../testdata/format/tree.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("trees are not what they were.\n got:\n%s\nwant:\n%s", got, want)
	}
}

// TestBlobDigests checks against the published test vectors of BLAKE3, whose input counts 0 to 250 over and over, and so against b3sum.
func TestBlobDigests(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{
		0:      "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:      "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		1024:   "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
		102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
	} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i % 251)
		}
		streamed, n, err := SumReader(bytes.NewReader(b))
		if Sum(b).String() != want || streamed != Sum(b) || n != int64(size) || err != nil {
			t.Errorf("%d bytes: %s, streamed %s (%d bytes, %v), want %s", size, Sum(b), streamed, n, err, want)
		}
	}
}

func TestParseDigest(t *testing.T) {
	t.Parallel()
	good := Sum([]byte("x"))
	if d, err := ParseDigest(good.String()); err != nil || d != good {
		t.Errorf("ParseDigest(%s) = %s, %v", good, d, err)
	}
	for _, bad := range []string{"", "ab", strings.ToUpper(good.String()), good.String() + "00", good.String()[:63], "g" + good.String()[1:], " " + good.String()[1:]} {
		if _, err := ParseDigest(bad); err == nil {
			t.Errorf("ParseDigest(%q) took it", bad)
		}
	}
}

// TestTreeOfEntries: what can and what can't be a tree.
func TestTreeOfEntries(t *testing.T) {
	t.Parallel()
	file := func(path string) Entry { return Entry{Path: path, Kind: File} }
	link := func(path, target string) Entry { return Entry{Path: path, Kind: Link, Target: target} }
	for _, c := range []struct {
		entries []Entry
		want    string // part of the error; "" for none
	}{
		{nil, ""},
		{[]Entry{file("a"), file("b")}, ""},
		{[]Entry{file("a/b"), file("a.b"), file("a0")}, ""},
		{[]Entry{file("...")}, ""},
		{[]Entry{file("..a/b")}, ""},
		{[]Entry{file("a"), file("a")}, "twice"},
		{[]Entry{file("a"), file("a/b")}, `"a/b" lies below "a"`},
		{[]Entry{file("a"), file("a!"), file("a/b/c")}, `"a/b/c" lies below "a"`},
		{[]Entry{{Path: "a", Kind: Dir}, file("a/b")}, `"a/b" lies below "a"`},
		{[]Entry{link("a", "b"), file("a/b")}, `"a/b" lies below "a"`},
		{[]Entry{file("")}, "clean relative path"},
		{[]Entry{file(".")}, "clean relative path"},
		{[]Entry{file("..")}, "clean relative path"},
		{[]Entry{file("../a")}, "clean relative path"},
		{[]Entry{file("a/../b")}, "clean relative path"},
		{[]Entry{file("/a")}, "clean relative path"},
		{[]Entry{file("a/")}, "clean relative path"},
		{[]Entry{file("a//b")}, "clean relative path"},
		{[]Entry{file("a\xff")}, "not valid UTF-8"},
		{[]Entry{file("a\tb")}, "control character"},
		{[]Entry{file("a\nb")}, "control character"},
		{[]Entry{file("a\x00b")}, "control character"},
		{[]Entry{{Path: "a"}}, "no valid kind"},
		{[]Entry{{Path: "a", Kind: Dir + 1}}, "no valid kind"},
		{[]Entry{{Path: "a", Kind: File, Size: -1}}, "no valid size"},
		{[]Entry{{Path: "a", Kind: Dir, Size: 1}}, "no valid size"},
		{[]Entry{{Path: "a", Kind: Link, Target: "b", Digest: Sum(nil)}}, "no valid size or digest"},
		{[]Entry{{Path: "a", Kind: File, Target: "b"}}, "is no link"},
		{[]Entry{link("a", "b")}, ""},
		{[]Entry{link("a", ".")}, ""},
		{[]Entry{link("a", "b//c/./d/")}, ""},
		{[]Entry{link("a/b/c", "../../d")}, ""},
		{[]Entry{link("a", "")}, "only relative links"},
		{[]Entry{link("a", "/etc/passwd")}, "only relative links"},
		{[]Entry{link("a", "../b")}, "leads outside"},
		{[]Entry{link("a/b", "../../c")}, "leads outside"},
		{[]Entry{link("a/b", "./../../c")}, "leads outside"},
		{[]Entry{link("a", "b/../../c")}, "leads outside"},
		{[]Entry{link("a/b", "x/../c")}, "leads outside"}, // x may be a link itself
		{[]Entry{link("a", "b\nc")}, "control character"},
		{[]Entry{link("a", "b\xff")}, "control character"},
	} {
		tree, err := NewTree(c.entries)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.entries, err, c.want)
		}
		if err == nil {
			roundTrip(t, tree)
		}
	}
}

func roundTrip(t *testing.T, tree Tree) {
	t.Helper()
	again, err := DecodeTree(tree.Encode())
	if err != nil || again.Digest() != tree.Digest() || len(tree.Entries) > 0 && !reflect.DeepEqual(again, tree) {
		t.Errorf("%v came back as %v, %v", tree, again, err)
	}
}

func TestTreeOrderAndSize(t *testing.T) {
	t.Parallel()
	entries := sample()
	tree, err := NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range tree.Entries {
		names = append(names, e.Path)
	}
	if got, want := strings.Join(names, " "), "Größe 1.txt bin/run bin/up empty latest part-0.csv"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if entries[0].Path != "part-0.csv" {
		t.Error("NewTree changed its argument")
	}
	if tree.Size() != 6 || tree.Files() != 3 {
		t.Errorf("%d bytes in %d files", tree.Size(), tree.Files())
	}
	roundTrip(t, tree)
}

// TestDecodeTreeRefuses what Encode does not write, though it might be understood.
func TestDecodeTreeRefuses(t *testing.T) {
	t.Parallel()
	digest := Sum(nil).String()
	for _, body := range []string{
		"file\t" + digest + "\t0\ta",                     // no line end
		"file\t" + digest + "\t+0\ta\n",                  // a sign
		"file\t" + digest + "\t00\ta\n",                  // leading zero
		"file\t" + digest + "\t-1\ta\n",                  // negative
		"file\t" + digest + "\t9223372036854775808\ta\n", // too large
		"file\t" + strings.ToUpper(digest) + "\t0\ta\n",  // other spelling
		"file\t" + digest + "\t0\n",                      // no name
		"file\t" + digest + "\t0\ta\tb\n",                // a tab in the name
		"\ta\n",                                          // no kind
		"socket\ta\n",                                    // unknown kind
		"dir\ta\r\n",                                     // a control character
		"\n",                                             // an empty line
		"dir\tb\ndir\ta\n",                               // out of order
		"link\t../x\ta\n",                                // leads outside
		"dir\ta\nfile\t" + digest + "\t0\ta/b\n",         // content in an empty directory
	} {
		if tree, err := DecodeTree([]byte(treeHeader + body)); err == nil {
			t.Errorf("%q was taken for %v", body, tree)
		}
	}
	for _, b := range []string{"", "dpb tree 1", "dpb tree 2\n"} {
		if _, err := DecodeTree([]byte(b)); err == nil {
			t.Errorf("%q was taken", b)
		}
	}
}

func FuzzDecodeTree(f *testing.F) {
	tree, err := NewTree(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tree.Encode())
	f.Add(Tree{}.Encode())
	f.Add([]byte("dpb tree 1\nlink\t../a\tb/c\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := DecodeTree(b)
		if err != nil {
			return
		}
		if again := tree.Encode(); !bytes.Equal(again, b) {
			t.Errorf("%q was taken, and is written %q", b, again)
		}
		if _, err := NewTree(tree.Entries); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add(hex.EncodeToString(make([]byte, 32)))
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDigest(s); err == nil && d.String() != s {
			t.Errorf("%q was taken for %s", s, d)
		}
	})
}
