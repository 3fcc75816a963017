package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// In the keeper's own namespace the machine lies at machineDir; what all programs see of it is laid out once in baseDir, and each program's root is made in
// rootDir, which is another file system for each.
const (
	machineDir = "/machine"
	baseDir    = "/base"
	rootDir    = "/root"
)

// settings are what programs need of /etc to run. It has nothing that differs from machine to machine by what people do there, and no secrets: of ssl and pki, where private
// keys lie, only what lists the certificates to trust.
var settings = []string{"alternatives", "ca-certificates", "crypto-policies", "fonts", "java", "java-8-openjdk", "java-11-openjdk", "java-17-openjdk", "java-21-openjdk", "ld.so.cache",
	"ld.so.conf", "ld.so.conf.d", "magic", "mime.types", "nsswitch.conf", "OpenCL", "perl", "pki/ca-trust", "pki/java",
	"pki/tls/cert.pem", "pki/tls/certs", "pki/tls/openssl.cnf", "protocols", "python3", "R", "services", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf"}

// networkSettings are those that name other machines: for programs that share the network.
var networkSettings = []string{"/etc/resolv.conf", "/etc/hosts"}

// accounts are the same on each machine.
var accounts = map[string]string{
	"passwd":      "root:x:0:0:root:/nonexistent:/bin/sh\njob:x:1000:1000:job:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"group":       "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n",
	"hosts":       "127.0.0.1 localhost\n::1 localhost\n",
	"hostname":    hostname + "\n",
	"resolv.conf": "",
}

const hostname = "dpb"

var devices = []string{"null", "zero", "full", "random", "urandom"}

var deviceLinks = map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}

const (
	noSuid   = unix.MS_NOSUID | unix.MS_NODEV
	readOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// prepare moves the keeper into a root of its own and lays out what all programs see.
func (s *server) prepare(root Root) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return failure("sethostname", hostname, err)
	}
	const top = "/tmp" // a place that each machine has
	steps := []func() error{
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return mount("tmpfs", top, "tmpfs", noSuid, "mode=755,size=16m") },
		func() error { return makeDirs(top+machineDir, top+baseDir, top+rootDir, top+"/proc") },
		func() error { return failed("pivot_root", top, unix.PivotRoot(top, top+machineDir)) },
		func() error { return failed("chdir", "/", unix.Chdir("/")) },
		func() error { return mount("proc", "/proc", "proc", noSuid|unix.MS_NOEXEC, "") },
		s.layOutSystem,
		layOutSettings,
		layOutDevices,
		func() error { return makeDirs(baseDir + "/proc") },
		func() error { return bind("/proc", baseDir+"/proc", false) },
		func() error { s.findHidden(root.Hidden); return nil },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// layOutSystem shows the system directories, read-only; where one is a link, the link.
func (s *server) layOutSystem() error {
	for _, dir := range systemDirs {
		info, err := os.Lstat(machineDir + dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			if err := copyLink(machineDir+dir, baseDir+dir); err != nil {
				return err
			}
			continue
		case !info.IsDir():
			continue
		}
		if err := makeDirs(baseDir + dir); err != nil {
			return err
		}
		if err := bind(machineDir+dir, baseDir+dir, false); err != nil {
			return err
		}
		s.seen = append(s.seen, dir)
	}
	return nil
}

// hide covers what lies in a system directory and is not the system's. What is shown of it comes later.
func (s *server) hide() error {
	for _, path := range s.hidden {
		if err := mount("tmpfs", rootDir+path, "tmpfs", noSuid, "mode=755,size=1m"); err != nil {
			return err
		}
	}
	return nil
}

// findHidden looks which of the hidden folders would be seen.
func (s *server) findHidden(paths []string) {
	for _, path := range paths {
		if info, err := os.Stat(baseDir + path); err == nil && info.IsDir() && s.sees(path) {
			s.hidden = append(s.hidden, path)
		}
	}
}

// sees says whether a path lies in what all programs see.
func (s *server) sees(path string) bool {
	isIn := func(dir string) bool { return within(path, dir) }
	return slices.ContainsFunc(s.seen, isIn) && !slices.ContainsFunc(s.hidden, isIn)
}

// layOutSettings makes an /etc of what programs need. Files are copied, folders shown.
func layOutSettings() error {
	etc := baseDir + "/etc"
	if err := makeDirs(etc); err != nil {
		return err
	}
	if err := mount("tmpfs", etc, "tmpfs", noSuid, "mode=755,size=16m"); err != nil {
		return err
	}
	for name, text := range accounts {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, name := range settings {
		if err := showSetting(machineDir+"/etc/"+name, filepath.Join(etc, name)); err != nil {
			return err
		}
	}
	return setReadOnly(etc)
}

func showSetting(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return nil // most machines lack some
	}
	if err := makeDirs(filepath.Dir(to)); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return copyLink(from, to)
	case info.IsDir():
		if err := makeDirs(to); err != nil {
			return err
		}
		return bind(from, to, false)
	case !info.Mode().IsRegular():
		return nil
	}
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrPermission) {
		return nil // it is not for everybody
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

func layOutDevices() error {
	dev := baseDir + "/dev"
	if err := makeDirs(dev); err != nil {
		return err
	}
	if err := mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, name := range devices {
		if err := makeFile(filepath.Join(dev, name)); err != nil {
			return err
		}
		if err := bindAs(machineDir+"/dev/"+name, filepath.Join(dev, name), readOnly&^unix.MOUNT_ATTR_NODEV); err != nil { // its mode is not the job's to change
			return err
		}
	}
	for name, target := range deviceLinks {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := makeDirs(dev + "/shm"); err != nil {
		return err
	}
	return failed("mount_setattr", dev, unix.MountSetattr(unix.AT_FDCWD, dev, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}))
}

// makeRoot makes a root for one program, with what all see.
func (s *server) makeRoot() error {
	if err := mount("tmpfs", rootDir, "tmpfs", noSuid, "mode=755,size=16m"); err != nil {
		return err
	}
	entries, err := os.ReadDir(baseDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := showBase(e); err != nil {
			return err
		}
	}
	if err := mount("tmpfs", rootDir+"/dev/shm", "tmpfs", noSuid, "mode=1777"); err != nil {
		return err
	}
	return s.hide()
}

// enterRoot shows in a root what one program is given, and moves the current thread into it. Nothing of the machine is left to be reached from there but what is shown.
func (s *server) enterRoot(p Program) error {
	for _, m := range s.mountsOf(p) {
		if err := s.show(m); err != nil {
			return err
		}
	}
	for _, dir := range append(slices.Clone(s.hidden), "/") {
		if err := setReadOnly(rootDir + dir); err != nil {
			return err
		}
	}
	if err := unix.Chdir(rootDir); err != nil {
		return failure("chdir", rootDir, err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return failure("pivot_root", rootDir, err)
	}
	return failed("umount", ".", unix.Unmount(".", unix.MNT_DETACH))
}

// showBase shows one of the names in baseDir.
func showBase(e fs.DirEntry) error {
	from, to := filepath.Join(baseDir, e.Name()), filepath.Join(rootDir, e.Name())
	if e.Type()&fs.ModeSymlink != 0 {
		return copyLink(from, to)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return mount(from, to, "", unix.MS_BIND|unix.MS_REC, "") // read-only as it is
}

// mountsOf lists what a program is shown, with what follows from its rights.
func (s *server) mountsOf(p Program) []Mount {
	mounts := slices.Clone(p.Mounts)
	if p.Network {
		for _, file := range networkSettings {
			if real, err := realOnMachine(file); err == nil {
				mounts = append(mounts, Mount{From: real, At: file})
			}
		}
	}
	return mounts
}

// realOnMachine follows the links of a path as the machine has them; one level is all that is met in /etc.
func realOnMachine(path string) (string, error) {
	target, err := os.Readlink(machineDir + path)
	if err != nil {
		_, err = os.Stat(machineDir + path)
		return path, err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	_, err = os.Stat(machineDir + target)
	return target, err
}

// show shows a file or folder of the machine in a program's root.
func (s *server) show(m Mount) error {
	from, to := machineDir+m.From, rootDir+m.At
	if m.From == m.At && s.sees(m.At) {
		return nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err != nil {
		if err := makeDirs(filepath.Dir(to)); err != nil {
			return err
		}
		if info.IsDir() {
			err = os.Mkdir(to, 0o755)
		} else {
			err = makeFile(to)
		}
		if err != nil {
			return err
		}
	}
	return bind(from, to, m.Writable)
}

// bind shows a folder, with what is mounted in it, or a file at another place.
func bind(from, to string, writable bool) error {
	attributes := uint64(readOnly)
	if writable {
		attributes &^= unix.MOUNT_ATTR_RDONLY
	}
	return bindAs(from, to, attributes)
}

func bindAs(from, to string, attributes uint64) error {
	if err := mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return failed("mount_setattr", to, unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes}))
}

func setReadOnly(dir string) error {
	return failed("mount_setattr", dir, unix.MountSetattr(unix.AT_FDCWD, dir, 0, &unix.MountAttr{Attr_set: readOnly}))
}

func mount(source, target, kind string, flags uintptr, data string) error {
	return failed("mount", target, unix.Mount(source, target, kind, flags, data))
}

func failed(call, path string, err error) error {
	if err == nil {
		return nil
	}
	return failure(call, path, err)
}

// copyLink makes a link that leads to the same path as another one.
func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func makeFile(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	return f.Close()
}
