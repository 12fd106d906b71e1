#include "cli/cores.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <set>

namespace millrace::cli {
namespace {

std::size_t own_stack_size() {
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  std::size_t size = 0;
  pthread_attr_getstacksize(&attributes, &size);
  pthread_attr_destroy(&attributes);
  return size;
}

TEST(Cores, EachHasAThreadOfItsOwnWithALargeStack) {
  Cores cores(3);
  ASSERT_TRUE(cores.start());
  std::set<std::thread::id> threads;
  for (boost::asio::io_context* context : cores.contexts()) {
    std::promise<std::thread::id> thread;
    boost::asio::post(*context, [&] {
      EXPECT_GE(own_stack_size(), 16u << 20);
      thread.set_value(std::this_thread::get_id());
    });
    threads.insert(thread.get_future().get());
  }
  EXPECT_EQ(threads.size(), 3u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST(Cores, ZeroMeansAsManyAsThisMachineCanUse) { EXPECT_GE(Cores(0).contexts().size(), 1u); }

TEST(Cores, StoppingEndsTheThreadsAndMayBeDoneTwice) {
  Cores cores(2);
  ASSERT_TRUE(cores.start());
  cores.stop();
  cores.stop();
}

}  // namespace
}  // namespace millrace::cli
