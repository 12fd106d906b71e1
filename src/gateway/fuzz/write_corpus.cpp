// write_relay_corpus FOLDER: writes the samples to FOLDER/NAME.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "gateway/fuzz/relay_exchange.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_relay_corpus FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (const auto& sample : millrace::gateway::fuzz::samples()) {
    std::ofstream(folder / sample.name, std::ios::binary) << sample.input;
  }
}
