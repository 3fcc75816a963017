package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dpb-build/dpb/cache/disk"
)

// WatchedError says that another process watches a checkout.
type WatchedError struct{ Holder disk.Holder }

func (e *WatchedError) Error() string {
	text := "this workspace is watched already"
	if e.Holder.PID == 0 {
		return text
	}
	return fmt.Sprintf("%s, since %s, by %s: one watcher is enough, end that one first", text, e.Holder.Since.Format("2006-01-02T15:04:05Z07:00"), e.Holder)
}

// Watch takes the lock that the one process has that watches a checkout. Its error is a WatchedError if another one has it. The lock ends with the process at the latest.
func Watch(root, storeDir, command, what string) (release func(), err error) {
	environment, err := EnvironmentOf(root)
	if err != nil {
		return nil, err
	}
	store, err := disk.Open(storeDir)
	if err != nil {
		return nil, err
	}
	store.Me = disk.Holder{PID: os.Getpid(), Command: command}
	store.Me.User, store.Me.Host = userAndHost()
	name := watchLock(environment)
	unlock, err := store.TryLock(name, what)
	if unlock == nil {
		if err == nil {
			holder, _ := holderOf(store, name)
			err = &WatchedError{holder}
		}
		return nil, errors.Join(err, store.Close())
	}
	return func() { unlock(); _ = store.Close() }, nil
}

func watchLock(environment string) string { return "watch-" + environment }

// Watches says whether this process still has that lock: somebody may have deleted the store.
func Watches(root, storeDir string) bool {
	environment, err := EnvironmentOf(root)
	if err != nil {
		return false
	}
	store, err := disk.OpenExisting(storeDir)
	if err != nil {
		return false
	}
	_, host := userAndHost()
	h, held := holderOf(store, watchLock(environment))
	return held && (h.PID == os.Getpid() && h.Host == host || h.PID == 0) // on a full disk nobody could say who has it
}

// holderOf asks who holds a lock, without waiting for it.
func holderOf(store *disk.Store, name string) (holder disk.Holder, held bool) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = store.AwaitLock(ctx, name, func(h disk.Holder) { holder, held = h, true })
	return holder, held
}
