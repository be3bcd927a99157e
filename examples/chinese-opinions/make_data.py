"""Write invented Chinese opinions on restaurants: labelled CSV, and unlabelled texts for pretraining.

    python make_data.py opinions.csv --unlabelled unlabelled.txt

Every text is put together from clauses written for this example; nobody's review is in it. Labels are
the aspects that a text speaks of, whether it praises or complains, in one cell separated by `、`.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Sequence
from pathlib import Path

COLUMNS = ("编号", "内容", "标签")

CLAUSES = {
    "口味": (
        "{dish}的味道很正宗", "{dish}咸得没法入口", "汤底鲜美，喝了两碗", "{dish}又老又柴", "火候掌握得刚刚好",
        "菜偏油腻，吃几口就腻了", "{dish}酸甜适中，老人孩子都爱吃", "{dish}一点辣味都没有", "食材新鲜，一吃就知道",
        "{dish}比上次来难吃多了", "回味有点苦",
    ),
    "服务": (
        "服务员态度特别好", "叫了{m}遍都没人理", "店员主动帮忙换了骨碟", "老板娘说话很冲", "上错菜还不承认",
        "前台小姑娘笑得很甜", "点单的时候爱答不理", "经理亲自过来道歉", "续水很勤快", "投诉以后态度马上变了",
    ),
    "环境": (
        "装修很有老{city}的味道", "店里太吵，说话都听不见", "灯光柔和，适合聊天", "空调开得像冰窖", "靠窗的座位能看到江景",
        "桌子挤得转不开身", "包间宽敞明亮", "音乐声音太大", "一进门就是很浓的油烟", "角落里的绿植布置得用心",
    ),
    "价格": (
        "人均{price}，真不便宜", "性价比很高", "团购下来才{price}块", "一小份{dish}要{price}，抢钱呢", "分量足，价钱公道",
        "结账的时候多算了{price}块", "优惠券根本用不了", "茶位费收得莫名其妙", "学生价很划算", "涨价涨得太离谱",
    ),
    "等位": (
        "排队排了{h}个小时", "周末去不用等就有座", "取了号前面还有{n}桌", "过号要重新排", "提前预约还是站了半天",
        "{n}分钟就轮到我们了", "门口连个坐的地方都没有，干等", "叫号系统一直没动静",
    ),
    "外卖": (
        "骑手送到的时候已经凉了", "包装很严实，一滴没洒", "配送超时{n}分钟", "外卖盒漏了一袋子", "点外卖比堂食少给一半",
        "打包盒质量不错", "骑手打电话很有礼貌", "备注不要香菜还是放了，送来就这样", "送错地址，又等了半天外卖",
    ),
    "卫生": (
        "碗边上还有上一桌的菜渣", "桌面擦得锃亮", "{dish}里吃出一根头发", "后厨是透明的，看着干净", "地板黏脚",
        "卫生间没有洗手液", "餐具都消过毒", "看到一只蟑螂爬过去", "杯子上有口红印",
    ),
}  # fmt: skip

UNLABELLED_CLAUSES = (
    "朋友推荐来的", "第{m}次来了", "就在地铁站旁边", "下次带爸妈一起来", "路过随便吃的", "公司聚餐定在这里",
    "过生日来的", "以后不会再来了", "总体还可以吧", "值得专程跑一趟", "不知道该怎么说",
)  # fmt: skip
"""Clauses without an aspect."""

SLOTS = {
    "dish": ("酸菜鱼", "红烧肉", "小笼包", "麻婆豆腐", "烤鸭", "牛肉面", "炒河粉", "糖醋排骨", "凉皮", "羊肉串"),
    "city": ("北京", "上海", "成都", "西安", "广州"),
    "price": ("38", "88", "128", "15", "二百", "三十"),
    "h": ("半", "一", "两", "1", "2"),
    "m": ("三", "四", "好几", "5"),
    "n": ("十五", "20", "8", "二十多", "40"),
}  # fmt: skip

_HOW_MANY = (0, 1, 1, 1, 2, 2, 2, 3)
_JOINTS = ("，", "，", "，", "；", "。", "！", "，而且", "，不过", "，另外")
_ENDS = ("。", "！", "", "～", "……", "。。。")


def opinions(rows: int, draw: random.Random) -> list[tuple[str, str]]:
    """Return different texts, and their label cells."""
    found: dict[str, str] = {}
    while len(found) < rows:
        text, labels = _opinion(draw)
        found.setdefault(text, labels)
    return list(found.items())


def _opinion(draw: random.Random) -> tuple[str, str]:
    aspects = draw.sample(sorted(CLAUSES), draw.choice(_HOW_MANY))
    clauses = [draw.choice(CLAUSES[aspect]) for aspect in aspects]
    if len(clauses) == 1 and draw.random() < 0.5:
        clauses.append(draw.choice(CLAUSES[aspects[0]]))
    if draw.random() < 0.5 or not clauses:
        clauses += draw.sample(UNLABELLED_CLAUSES, 2)
    clauses = list(dict.fromkeys(clauses))
    draw.shuffle(clauses)
    text = clauses[0]
    for clause in clauses[1:]:
        text += draw.choice(_JOINTS) + clause
    text += draw.choice(_ENDS)
    for slot, values in SLOTS.items():
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", draw.choice(values), 1)
    written = [aspect for aspect in sorted(aspects) if draw.random() > 1 / 30]  # some are forgotten
    return text, "、".join(written)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("output", type=Path, help="the labelled CSV file")
    parser.add_argument("--unlabelled", type=Path, help="texts only, an empty line between two")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--unlabelled-rows", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    draw = random.Random(given.seed)
    rows = opinions(given.rows, draw)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with given.output.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows((f"P{number:04}", *row) for number, row in enumerate(rows, 1))
    if given.unlabelled:
        texts = [text for text, _ in opinions(given.unlabelled_rows, draw)]
        given.unlabelled.write_text("\n\n".join(texts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
