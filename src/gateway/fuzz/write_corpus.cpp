// write_gateway_corpus FOLDER: writes the samples to FOLDER/SUBJECT/NAME.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "gateway/fuzz/parts.hpp"
#include "gateway/fuzz/relay_exchange.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_gateway_corpus FOLDER\n", stderr);
    return 2;
  }
  const auto write = [&](std::string_view subject, const std::string& name, const std::string& input) {
    const auto folder = std::filesystem::path(argv[1]) / subject;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / name, std::ios::binary) << input;
  };
  for (const auto& sample : millrace::gateway::fuzz::samples()) write("relay", sample.name, sample.input);
  for (const auto& sample : millrace::gateway::fuzz::part_samples()) write(sample.subject, sample.name, sample.input);
}
