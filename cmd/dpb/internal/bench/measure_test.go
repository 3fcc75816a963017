package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process took.
type usage struct {
	Wall, CPU float64 // seconds
	Memory    float64 // MiB, of the largest process
}

// timed takes a program's time from its start to its end. Its output goes nowhere, unless it fails.
func timed(dir string, args ...string) usage {
	u, _ := capture(dir, nil, args...)
	return u
}

// capture is timed, with more environment, and returns what the program writes to standard output.
func capture(dir string, env []string, args ...string) (usage, string) {
	c := exec.Command(args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &stdout, &stderr
	c.Env = append(os.Environ(), env...)
	start := time.Now()
	err := c.Run()
	wall := time.Since(start).Seconds()
	if interrupted.Load() {
		try(errors.New("interrupted"))
	}
	if err != nil {
		try(fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, tail(stdout.Bytes()), tail(stderr.Bytes())))
	}
	spent := c.ProcessState.SysUsage().(*syscall.Rusage)
	return usage{wall, (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(), float64(spent.Maxrss) / 1024}, stdout.String()
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// self runs this program as something else, see acts.
func (b *bench) act(dir, name string, args ...string) usage {
	u, _ := capture(dir, []string{asAct + "=" + name}, append([]string{b.self}, args...)...)
	return u
}

// series are the repetitions of one thing.
type series []usage

func (s series) wall() (out []float64) {
	for _, u := range s {
		out = append(out, u.Wall)
	}
	return out
}

func (s series) memory() (out []float64) {
	for _, u := range s {
		out = append(out, u.Memory)
	}
	return out
}

// patience is how many seconds the repetitions of one thing may take.
const patience = 40

// inTurn runs each so many times, one after the other, and every other time in the opposite order: what the machine does beside falls on all of them.
// Before that each runs once unmeasured, if warm. What takes longer runs less often, as patience allows; and only once, with that measured, what takes more than that.
func inTurn(times int, warm bool, each ...func() usage) []series {
	out := make([]series, len(each))
	left, order := make([]int, len(each)), make([]int, len(each))
	for k := range order {
		left[k], order[k] = times, k
		if !warm {
			continue
		}
		if u := each[k](); u.Wall > patience {
			out[k], left[k] = series{u}, 0
		}
	}
	for slices.Max(left) > 0 {
		for _, k := range order {
			if left[k] == 0 {
				continue
			}
			u := each[k]()
			out[k] = append(out[k], u)
			left[k] = min(left[k]-1, int(patience/max(u.Wall, 0.001))-len(out[k]))
			left[k] = max(left[k], 0)
		}
		slices.Reverse(order)
	}
	return out
}

// median is that of the middle two for an even number; NaN of none.
func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func mapped(list []float64, f func(float64) float64) (out []float64) {
	for _, x := range list {
		out = append(out, f(x))
	}
	return out
}

// steepest is the largest exponent of growth from one size to the next: 1 is linear. It is not taken through all points, as what a start costs would hide the rest.
func steepest(sizes, seconds []float64) float64 {
	most := math.Inf(-1)
	for k := 1; k < len(sizes); k++ {
		most = max(most, math.Log(seconds[k]/seconds[k-1])/math.Log(sizes[k]/sizes[k-1]))
	}
	return most
}

// watchOthers begins to watch the processors; the function that it returns tells which share of their time processes had that are neither this one nor came from it.
func watchOthers() func() float64 {
	busy, total := processors()
	own := ownTime()
	return func() float64 {
		b, t := processors()
		if t == total {
			return 0
		}
		return max(0, (b-busy-(ownTime()-own))/(t-total))
	}
}

// processors are the seconds that all of them were busy, and all seconds, since the system started; zero where /proc is not there.
func processors() (busy, total float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for k, field := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseFloat(field, 64)
		if k > 7 { // guests are counted in user already
			break
		}
		total += n / 100
		if k != 3 && k != 4 { // idle, and waiting for a disk
			busy += n / 100
		}
	}
	return busy, total
}

// ownTime is the processor time of this process and all that it waited for.
func ownTime() (sum float64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		try(syscall.Getrusage(who, &r))
		sum += float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
	}
	return sum
}

// free is how many bytes can be written below a folder; in memory, how many that are not needed otherwise.
func free(dir string) int64 {
	var s syscall.Statfs_t
	try(syscall.Statfs(dir, &s))
	room := int64(s.Bavail) * int64(s.Bsize)
	const tmpfs = 0x01021994
	if s.Type != tmpfs {
		return room
	}
	text, err := os.ReadFile("/proc/meminfo")
	try(err)
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			try(err)
			return min(room, n<<10)
		}
	}
	return room
}

// lookFor finds a program of a peer: one that peers.sh installed, else one of the system's. "" if there is none.
func lookFor(name string) string {
	if *peersIn != "" {
		for _, dir := range []string{name, "bin"} {
			for _, at := range []string{filepath.Join(*peersIn, dir, "bin", name), filepath.Join(*peersIn, dir, name)} {
				if _, err := os.Stat(at); err == nil {
					return at
				}
			}
		}
	}
	at, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return at
}
